"""Each fault is told of by one alert, in time, and by no other; it ends with the fault."""

import asyncio
from pathlib import Path

import pytest

from tests.incidents.patience import eventually
from tests.incidents.stack import Message, Stack, running_stack
from tests.incidents.stack_fault import FAULTS, QUICK, Fault
from tests.postgres.cluster import Cluster

ARRIVAL_SECONDS = 90.0
RESOLVED_SECONDS = 150.0


@pytest.mark.timeout(420)
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_told_of_by_its_alert_alone_and_resolves(
    tmp_path: Path, private_cluster: Cluster, name: str, request: pytest.FixtureRequest
) -> None:
    if name not in QUICK and request.config.getoption("--stack-faults") != "all":
        pytest.skip("only with --stack-faults all")
    fault = FAULTS[name]
    dsn = private_cluster.dsn(await private_cluster.create_database())
    async with running_stack(tmp_path, dsn) as stack:
        assert stack.receiver.names() == set()
        async with fault.scene(stack, private_cluster):
            message = await expect_told(stack, fault)
            expect_complete(message)
            await expect_silenced(stack, fault)
            await asyncio.sleep(fault.lasts_seconds)
            assert stack.receiver.names() == {fault.alert}

        async def is_resolved() -> bool:
            return stack.receiver.find(fault.alert, "resolved") is not None

        await eventually(is_resolved, RESOLVED_SECONDS)


async def expect_told(stack: Stack, fault: Fault) -> Message:
    async def find() -> Message | None:
        return stack.receiver.find(fault.alert, "firing")

    message = await eventually(find, ARRIVAL_SECONDS)
    assert message is not None
    return message


def expect_complete(message: Message) -> None:
    """Expect templates to be filled in, and the right person to be told."""
    annotations = message["annotations"]
    assert not [text for text in annotations.values() if "<" in text or not text.strip()]
    assert "no value" not in str(annotations)
    receivers = {"critical": "pager", "warning": "mail"}
    assert message["to"] == receivers[message["labels"]["severity"]]


async def expect_silenced(stack: Stack, fault: Fault) -> None:
    """Expect every symptom to fire unheard, and nothing else to be heard."""

    async def are_suppressed() -> bool:
        states = await stack.active()
        return all(states.get(symptom) == "suppressed" for symptom in fault.symptoms)

    try:
        await eventually(are_suppressed, ARRIVAL_SECONDS)
    except AssertionError:
        raise AssertionError(await stack.active()) from None
