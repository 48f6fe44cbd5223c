"""Asking the application's processes once, for a command at a terminal."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from sidecar.config.settings import Settings
from sidecar.process.agent_poller import AgentPoller
from sidecar.process.agent_socket import list_sockets
from sidecar.process.application import ProcessStatus
from sidecar.projections.projection_status import DeadLetterCount
from sidecar.wiring.in_process import SubscriberStatus, fold


async def ask_application(
    settings: Settings, published: Mapping[str, DeadLetterCount]
) -> tuple[SubscriberStatus, ...]:
    """Return what is called in the processes that answer now; none answers for longer than 1 s."""
    pollers = [AgentPoller(url) for url in settings.app_agent_urls]
    with suppress(OSError):
        sockets = await asyncio.to_thread(list_sockets, settings.agents)
        pollers += [AgentPoller.at(path) for path in sockets.values()]
    await asyncio.gather(*(poller.ask() for poller in pollers))
    now_mono, now = time.monotonic(), dt.datetime.now(dt.UTC)
    inside = fold(_list_processes(pollers, now_mono), {}, now_mono).values()
    return tuple(SubscriberStatus.of(one, published, now_mono, now) for one in inside)


def _list_processes(pollers: Iterable[AgentPoller], now_mono: float) -> list[ProcessStatus]:
    """Return what each process reported, once, by however many ways it was asked."""
    beats = {each.heartbeat.agent or each.url: each.heartbeat for each in pollers}
    return [ProcessStatus(f"pid {beat.pid}", beat, now_mono) for beat in beats.values()]
