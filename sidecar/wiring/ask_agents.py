"""Asking the application's processes once, for a command at a terminal."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sidecar.config.settings import Settings
from sidecar.process.agent_poller import AgentPoller
from sidecar.process.agent_socket import list_sockets
from sidecar.process.application import ProcessStatus
from sidecar.projections.projection_status import DeadLetterCount, Rebuild
from sidecar.wiring.in_process import STATUS, InProcess, describe, fold


@dataclass(frozen=True, slots=True)
class CalledInside:
    """A subscriber that the application calls itself, in the columns of those that workers run.

    Attributes:
        status: Where it is called; it has no position, and no lag that anybody knows.
        owners: Process ids.
    """

    name: str
    kind: str
    dead_letters: int
    parked_streams: int
    owners: tuple[str, ...]
    detail: str
    handled: int
    failed: int
    error_type: str
    failed_at: dt.datetime | None
    oldest_letter_at: dt.datetime | None
    status: str = STATUS
    position: int | None = None
    lag_events: int | None = None
    lag_seconds: float | None = None
    moved_at: dt.datetime | None = None
    rebuild: Rebuild = Rebuild.NONE
    progress: float | None = None


async def ask_application(
    settings: Settings, published: Mapping[str, DeadLetterCount]
) -> tuple[CalledInside, ...]:
    """Return what is called in the processes that answer now; none answers for longer than 1 s.

    Args:
        settings: Where agents are.
        published: Open dead letters of what the application publishes to, by projection.
    """
    pollers = [AgentPoller(url) for url in settings.app_agent_urls]
    with suppress(OSError):
        sockets = await asyncio.to_thread(list_sockets, settings.agents)
        pollers += [AgentPoller.at(path) for path in sockets.values()]
    await asyncio.gather(*(poller.ask() for poller in pollers))
    now_mono, now = time.monotonic(), dt.datetime.now(dt.UTC)
    inside = fold(_list_processes(pollers, now_mono), {}, now_mono).values()
    return tuple(_show(one, published.get(one.name), now_mono, now) for one in inside)


def _list_processes(pollers: Iterable[AgentPoller], now_mono: float) -> list[ProcessStatus]:
    """Return what each process reported, once, by however many ways it was asked."""
    beats = {each.heartbeat.agent or each.url: each.heartbeat for each in pollers}
    return [ProcessStatus(f"pid {beat.pid}", beat, now_mono) for beat in beats.values()]


def _show(
    one: InProcess, letters: DeadLetterCount | None, now_mono: float, now: dt.datetime
) -> CalledInside:
    is_counted = letters is not None and one.kind == "projection"
    ago = None if one.failed_mono is None else dt.timedelta(seconds=now_mono - one.failed_mono)
    return CalledInside(
        name=one.name,
        kind=one.kind.value,
        dead_letters=letters.letters if letters and is_counted else 0,
        parked_streams=letters.parked if letters and is_counted else 0,
        owners=one.owners,
        detail=describe(one),
        handled=one.handled,
        failed=one.failed,
        error_type=one.error_type,
        failed_at=None if ago is None else now - ago,
        oldest_letter_at=letters.oldest_at if letters and is_counted else None,
    )
