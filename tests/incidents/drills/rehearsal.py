"""One drill, from the fault to the proof that all is well again, with a clock beside it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.incidents.drills.drill import Alert, Drill, Metric
from tests.incidents.drills.oracle import differences
from tests.incidents.drills.shortening import flush_seconds
from tests.incidents.drills.sight import POLL_SECONDS, Question, first_seen, question
from tests.incidents.drills.stand import Stand
from tests.incidents.patience import eventually

TOLD_SECONDS: Final = 60.0
SILENCED_SECONDS: Final = 60.0
RESOLVED_SECONDS: Final = 150.0
READY_SECONDS: Final = 40.0
IDLE_SECONDS: Final = 60.0
RECEIVERS: Final = {"critical": "pager", "warning": "mail", "info": "nobody"}

_BEHIND: Final = """
SELECT projection FROM sidecar.checkpoints WHERE copy = 'live' AND position < $1
"""
_LETTERS: Final = """
SELECT projection, stream, event_type, error_type, error_message, attempts
FROM sidecar.dead_letters WHERE resolution IS NULL
"""


@dataclass(frozen=True, slots=True)
class Seconds:
    """What was measured.

    Attributes:
        signals: From the fault until each kind of signal showed.
        resolved: From the cure until the receiver knew; None where nobody was told.
        ready: From the cure until `/ready` answered 200.
    """

    signals: Mapping[str, float]
    resolved: float | None
    ready: float


async def rehearse(stand: Stand, drill: Drill) -> Seconds:
    """Break it, see every signal, cure it, and see that nothing is left of it."""
    questions = {kind: question(stand, one) for kind, one in drill.signals.all().items()}
    for kind, ask in questions.items():
        assert not await ask(), f"the {kind} shows before anything is wrong"
    async with answering(stand, drill):
        seen, cured_mono = await suffer(stand, drill, questions)
        ready = await since(cured_mono, first_seen(stand.program.is_ready, READY_SECONDS))
        resolved = await expect_resolved(stand, drill, cured_mono)
        await expect_cured(stand, drill)
    await expect_whole(stand)
    await expect_secrets_kept(stand)
    return Seconds(seen, resolved, ready)


async def suffer(
    stand: Stand, drill: Drill, questions: Mapping[str, Question]
) -> tuple[dict[str, float], float]:
    """Keep the fault up until all was seen; return after how long, and when the cure began."""
    began_mono = time.monotonic()
    watching = asyncio.create_task(see(drill, questions))
    try:
        async with drill.fault(stand):
            seen = await watching
            await expect_told(stand, drill)
            await expect_silenced(stand, drill)
            await asyncio.sleep(drill.lasts_seconds)
            await expect_quiet(stand, drill, time.monotonic() - began_mono)
            cured_mono = time.monotonic()
    finally:
        watching.cancel()
    return seen, cured_mono


async def see(drill: Drill, questions: Mapping[str, Question]) -> dict[str, float]:
    """Wait for every signal, each for as long as it may take."""
    signals = drill.signals.all()
    found = await asyncio.gather(
        *(first_seen(ask, signals[kind].within_seconds) for kind, ask in questions.items())
    )
    seen = dict(zip(questions, found, strict=True))
    missed = [str(signals[kind]) for kind, seconds in seen.items() if seconds is None]
    assert not missed, f"not seen: {'; '.join(missed)}; seen: {seen}"
    return {kind: seconds for kind, seconds in seen.items() if seconds is not None}


async def expect_told(stand: Stand, drill: Drill) -> None:
    """Expect every alert beside the incident's own to be heard."""

    async def are_told() -> bool:
        return drill.told_too <= stand.receiver.names()

    seconds = await first_seen(are_told, TOLD_SECONDS)
    assert seconds is not None, f"told, too, should be {drill.told_too}: {stand.receiver.names()}"


async def expect_silenced(stand: Stand, drill: Drill) -> None:
    """Expect every symptom to fire unheard."""

    async def are_suppressed() -> bool:
        states = await stand.tower.active()
        return all(states.get(symptom) == "suppressed" for symptom in drill.symptoms)

    seconds = await first_seen(are_suppressed, SILENCED_SECONDS)
    assert seconds is not None, f"silenced should be {drill.symptoms}: {await stand.tower.active()}"


async def expect_quiet(stand: Stand, drill: Drill, since_seconds: float) -> None:
    """Expect nobody to have been told of anything else, and nothing else to have shown."""
    told = stand.receiver.names()
    assert told == drill.told_too | names(drill.signals.alert), (told, await stand.tower.active())
    for query in drill.quiet:
        found = await stand.tower.query(f"count_over_time(({query})[{since_seconds:.0f}s:1s])")
        assert not found, f"not quiet: {query}: {found}"


async def expect_resolved(stand: Stand, drill: Drill, cured_mono: float) -> float | None:
    """Expect the receiver to hear that it is over, and return after how many seconds."""
    alert = drill.signals.alert
    if alert is None:
        return None
    message = stand.receiver.find(alert.name, "firing")
    assert message is not None
    texts = message["annotations"].values()
    assert not [text for text in texts if "<" in text or "no value" in text or not text.strip()]
    assert message["to"] == RECEIVERS[message["labels"]["severity"]]

    async def is_resolved() -> bool:
        return stand.receiver.find(alert.name, "resolved", cured_mono) is not None

    return await since(cured_mono, first_seen(is_resolved, RESOLVED_SECONDS))


async def expect_cured(stand: Stand, drill: Drill) -> None:
    """Expect what is left to be right, and nobody to have heard of anything but the incident."""
    await let_tell(stand)
    told = stand.receiver.names() - names(drill.signals.alert) - drill.told_too - drill.echoes
    assert not told, f"told, too: {told}"
    for query in drill.after:
        seconds = await first_seen(question(stand, Metric(query)), READY_SECONDS)
        assert seconds is not None, f"not after the cure: {query}"
    letters = await stand.run(_LETTERS)
    assert not letters, letters[:3]


async def let_tell(stand: Stand) -> None:
    """Wait until nothing is left to tell of, or all of it has had its turn.

    What the incident's own alert silenced is told only at the next turn of its group.
    """

    async def is_over() -> bool:
        return not await stand.tower.active()

    await first_seen(is_over, flush_seconds() + POLL_SECONDS)


async def expect_whole(stand: Stand) -> None:
    """Let the shop close, the projections catch up, and compare."""
    await stand.stop_till()
    [last] = await stand.run("SELECT max(position) AS position FROM sidecar.events")

    async def have_caught_up() -> bool:
        behind = await stand.run(_BEHIND, last["position"])
        projections = (await stand.program.status())["projections"]
        return not behind and all(one["lag_events"] == 0 for one in projections)

    await eventually(have_caught_up, IDLE_SECONDS)
    assert await differences(stand) == []


async def expect_secrets_kept(stand: Stand) -> None:
    """Expect no secret in whatever has been told to anybody."""
    paths = ("/metrics", "/api/status", "/config-report", "/", "/ready")
    told = [(await stand.program.get(path)).text for path in paths]
    told += [stand.output(), str(stand.receiver.messages)]
    token = stand.program.bearer()["Authorization"].removeprefix("Bearer ")
    for secret in (*stand.secrets, token):
        assert not [text for text in told if secret in text], "a secret was told"


@asynccontextmanager
async def answering(stand: Stand, drill: Drill) -> AsyncIterator[None]:
    """Expect `/health` to answer 200 all through the block."""
    refused: list[str] = []

    async def ask() -> None:
        while True:
            answer = await stand.program.get("/health")
            if answer.status != 200:
                refused.append(answer.text)
            await asyncio.sleep(POLL_SECONDS)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
    assert not (refused and drill.answers), refused[:3]


async def since(began_mono: float, seeing: Awaitable[float | None]) -> float:
    """Return how long ago it began once it was seen."""
    assert await seeing is not None, "not seen after the cure"
    return time.monotonic() - began_mono


def names(alert: Alert | None) -> frozenset[str]:
    return frozenset() if alert is None else frozenset({alert.name})
