"""`probe-*`: what answering a probe costs, and whether a frozen PostgreSQL is felt."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from typing import Final

import msgspec
from aiohttp import ClientSession, hdrs

from tests.benchmarks.bare import Answer
from tests.benchmarks.load import load
from tests.benchmarks.measure import (
    BenchmarkError,
    Limit,
    Result,
    alternate,
    no_limit,
    ratio_at_least,
    ratio_at_most,
)
from tests.benchmarks.place import Place
from tests.benchmarks.process import Started, serve, started

PATHS: Final = ("/health", "/ready")
LOAD_SECONDS: Final = 2
PEERS: Final[dict[str, tuple[str, Limit]]] = {
    "application": ("bare handler in aiohttp's web.Application, same bytes", ratio_at_least(0.95)),
    "server": ("bare handler on aiohttp's low-level server, same bytes", no_limit()),
    "fastapi": ("bare handler under FastAPI and uvicorn, same bytes", no_limit()),
}
FROZEN_ROUNDS: Final = 7
PROBES_PER_SECOND: Final = 500
# Longer than the time-outs of those who wait for PostgreSQL, so that their ends are felt too.
FROZEN_SECONDS: Final = 5
# What the server writes by itself, and so the bare one too.
OWN_HEADERS: Final = frozenset({hdrs.DATE, hdrs.CONTENT_LENGTH})


class RefusedError(BenchmarkError):
    """A server under load did not answer every request well."""


async def run(place: Place) -> list[Result]:
    """Measure a probe process that watches a database, without workers."""
    rows: list[Result] = []
    dsn = await place.create_database("probe")
    async with serve(place, dsn) as server:
        await server.until("/ready")
        answers = {path: await _read(server.url + path) for path in PATHS}
        file = place.scratch / "answers.json"
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(answers))
        for kind in PEERS:
            bare = started(place, "tests.benchmarks.bare", kind, "{port}", str(file))
            async with bare as peer:
                await peer.until("/health")
                with _pinned(server, peer):
                    rows += [await _compare(path, kind, server, peer) for path in PATHS]
        with _pinned(server):
            rows += [await _compare_frozen(path, server, place.directory) for path in PATHS]
    return rows


@contextmanager
def _pinned(*servers: Started) -> Iterator[None]:
    """Give the servers one core, of which one works at a time, and the load another."""
    cores = sorted(os.sched_getaffinity(0))
    for server in servers:
        os.sched_setaffinity(server.child.pid, cores[:1])
    os.sched_setaffinity(0, cores[1:] or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        for server in servers:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(server.child.pid, cores)


async def _compare(path: str, kind: str, server: Started, peer: Started) -> Result:
    pair = await alternate(lambda: _rate(server, path), lambda: _rate(peer, path))
    peer_name, limit = PEERS[kind]
    suffix = "" if kind == "application" else f"-{kind}"
    return Result(f"probe-{path.strip('/')}{suffix}", "requests/cpu s", pair, limit, peer_name)


async def _rate(server: Started, path: str) -> float:
    """Return how many good answers the server gives for a second of its processor.

    That is what it answers in a second on a core of its own, and unlike the wall's second it does
    not change with what else the machine has to do.

    Raises:
        RefusedError: Others came, which cost something else.
    """
    url = server.url + path
    before_seconds = _processor_seconds(server.child.pid)
    result = await load(url, seconds=LOAD_SECONDS)
    used_seconds = _processor_seconds(server.child.pid) - before_seconds
    if result.refused:
        raise RefusedError(f"{url} answered {result.refused} requests with an error")
    return result.requests_per_second * LOAD_SECONDS / used_seconds


def _processor_seconds(pid: int) -> float:
    """Return what a process has used of the processors, in its own code and in the kernel."""
    # The command's name, in brackets, may hold blanks.
    numbers = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


async def _compare_frozen(path: str, server: Started, directory: Path) -> Result:
    async def before() -> float:
        return await _paced_p99_ms(server.url + path)

    async def meanwhile() -> float:
        with _frozen(directory):
            p99_ms = await before()
        await server.until("/ready")
        return p99_ms

    pair = await alternate(meanwhile, before, rounds=FROZEN_ROUNDS, warm_ups=0)
    name = f"probe-frozen-{path.strip('/')}"
    return Result(name, "ms p99", pair, ratio_at_most(1.2), "PostgreSQL awake")


async def _paced_p99_ms(url: str) -> float:
    """Probe at a pace of our own, as balancers do, so that a late answer delays no question."""
    times_ms: list[float] = []

    async def ask(http: ClientSession) -> None:
        began = time.perf_counter()
        async with http.get(url) as response:
            await response.read()
        times_ms.append(1e3 * (time.perf_counter() - began))

    async with ClientSession() as http, asyncio.TaskGroup() as group:
        due = time.perf_counter()
        for _ in range(FROZEN_SECONDS * PROBES_PER_SECOND):
            group.create_task(ask(http))
            due += 1 / PROBES_PER_SECOND
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
    return quantiles(times_ms, n=100)[98]


@contextmanager
def _frozen(directory: Path) -> Iterator[None]:
    """Stop the server and all of its backends for the block."""
    postmaster = int((directory / "postmaster.pid").read_text("utf-8").split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    # From here on no backend can be started.
    backends = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("utf-8").split()
    _send(backends, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(backends, signal.SIGCONT)
        os.kill(postmaster, signal.SIGCONT)


def _send(pids: list[str], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), number)


async def _read(url: str) -> Answer:
    async with ClientSession() as http, http.get(url) as response:
        headers = {k: v for k, v in response.headers.items() if k not in OWN_HEADERS}
        return Answer(await response.read(), headers)
