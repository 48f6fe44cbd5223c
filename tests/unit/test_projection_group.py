"""What can be run as one group, and how it calls its members."""

import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.errors import ProjectionError
from sidecar.events.publisher import EventPublisher
from sidecar.projections.members import find_joined, list_lacking
from sidecar.projections.projection import subscriptions_of
from sidecar.projections.projection_group import ProjectionGroup
from sidecar.wiring.fingerprint import fingerprint_of


class Opened:
    pass


class Closed:
    pass


class Member:
    """Writes down what it hears."""

    def __init__(self, name: str, *handles: type, **attributes: object) -> None:
        self.name = name
        self.handles = handles
        self.heard: list[object] = []
        vars(self).update(attributes)

    async def handle(self, event: object, connection: list[str]) -> None:
        self.heard.append(event)
        connection.append(self.name)


class Plain:
    name = "plain"

    async def handle(self, event: object) -> None:
        pass


def test_group_is_what_its_members_are_together() -> None:
    first = Member("first", Opened, tables=("a", "b"), timeout_seconds=5.0)
    second = Member("second", Opened, Closed, tables=("b", "c"), eager=True)
    publisher = EventPublisher()
    publisher.add_projection(ProjectionGroup("both", first, second))
    (one,) = subscriptions_of(publisher)
    assert (one.name, one.tables, one.partitions) == ("both", ("a", "b", "c"), 1)
    assert (one.subscriber.handles, one.eager, one.timeout_seconds) == (
        (Opened, Closed),
        True,
        35.0,
    )
    assert one.setup is None


async def test_publish_hands_an_event_to_each_member_that_wants_it_in_one_transaction() -> None:
    transactions: list[list[str]] = []

    @asynccontextmanager
    async def open_transaction() -> AsyncIterator[Any]:
        transactions.append([])
        yield transactions[-1]

    publisher = EventPublisher(transaction=open_transaction)
    members = Member("z", Opened), Member("a"), Member("m", Closed)
    publisher.add_projection(ProjectionGroup("all", *members))
    assert (await publisher.publish(Opened())).handled == ("all",)
    assert transactions == [["z", "a"]]


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ((), "has no members"),
        ((Member("a"), Member("a")), "are called a"),
        ((Member("a"), Plain()), "plain takes no connection"),
        ((Member("a", partitions=2), Member("b")), "their `partitions` differ: 2, 1"),
        ((Member("a", start_at=7), Member("b")), "their `start_at` differ"),
        ((ProjectionGroup("inner", Member("a")),), "inner is a group itself"),
        ((Member,), "is a class"),
        ((Member("a", partitions=0),), "a.partitions is 0"),
    ],
)
def test_what_cannot_be_run_as_one_is_refused(members: Sequence[object], told: str) -> None:
    with pytest.raises(ProjectionError, match=told):
        ProjectionGroup("group", *members)


async def test_copy_of_a_group_calls_copies_of_its_members() -> None:
    member = Member("a")
    other = copy.deepcopy(ProjectionGroup("group", member))
    await other.handle(Opened(), [], None)  # type: ignore[arg-type]
    assert member.heard == []
    assert isinstance(other.members[0], Member)
    assert len(other.members[0].heard) == 1


def test_fingerprint_of_a_group_is_that_of_its_members() -> None:
    one = fingerprint_of(ProjectionGroup("g", Member("a")), "1")
    assert one == fingerprint_of(ProjectionGroup("g", Member("b")), "1")
    assert one != fingerprint_of(ProjectionGroup("g", Member("a"), Member("b")), "1")
    assert one != fingerprint_of(ProjectionGroup("g", Member("a")), "2")


@pytest.mark.parametrize(
    ("own", "seen", "joined"),
    [
        (["a", "b"], ["b", "a"], []),
        (["a", "b"], ["a"], ["b"]),
        (["a"], ["a", "b"], []),
        (["c", "b"], ["a"], ["b", "c"]),
        (["a", "b"], ["*"], []),
    ],
)
def test_who_has_joined(own: list[str], seen: list[str], joined: list[str]) -> None:
    assert find_joined(own, seen) == joined


@pytest.mark.parametrize(
    ("wanted", "handled", "lacking"),
    [
        (["x", "y"], ["y", "z"], ["y"]),
        (["x"], ["y"], []),
        (["x"], None, ["x"]),
        (["x"], ["*"], ["x"]),
        (["*"], ["y"], ["y"]),
        (["*"], ["*"], None),
        (["*"], None, None),
    ],
)
def test_of_which_types_one_that_joined_may_lack_events(
    wanted: list[str], handled: list[str] | None, lacking: list[str] | None
) -> None:
    assert list_lacking({"new": wanted, "old": ["y"]}, ["new"], handled) == lacking
