"""One worker: follows the safe head, takes its share of leases, runs their loops."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from sidecar.events.wait import wait_at_most
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import ProjectionNumbers, RunnerTally, add_up
from sidecar.projections.projection import Partition
from sidecar.projections.retry import delay_seconds
from sidecar.projections.runner import Runner

SHARE_SECONDS: Final = 1.0

# The safe head is polled fast while it moves, slowly while it does not.
FASTEST_SECONDS: Final = 0.005
SLOWEST_SECONDS: Final = 0.25
_GROWTH: Final = 1.5

logger = logging.getLogger(__name__)


class Leases(Protocol):
    """The leases of this worker on one session; all are gone when the session ends."""

    async def share(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        """Take a fair share; return the leases gained, and those to stop and then `release`."""

    async def release(self, partition: Partition) -> None:
        """Give a lease back."""


class HeadSource(Protocol):
    """Where the safe head is found."""

    async def advance(self) -> int:
        """Return the safe head, moved as far as it can be proved."""

    async def rest(self, limit_seconds: float) -> None:
        """Wait, but not longer than until a writer notifies of new events."""


class Worker:
    """Runs the partitions that it holds leases for. Use `run` once.

    The safe head is followed, and leases live, on a session of its own each; every runner shares
    the `head`. After a transient error the same work can succeed later.
    """

    def __init__(
        self,
        *,
        open_safe_head: Callable[[], AbstractAsyncContextManager[HeadSource]],
        open_leases: Callable[[Callable[[], None]], AbstractAsyncContextManager[Leases]],
        make_runner: Callable[[Partition, RunnerTally], Runner],
        head: HeadSignal,
        is_transient: Callable[[BaseException], bool],
    ) -> None:
        self.runners: Final[dict[Partition, Runner]] = {}
        self._tallies: Final[dict[Partition, RunnerTally]] = {}
        self._tasks: Final[dict[Partition, asyncio.Task[None]]] = {}
        self._open_head = open_safe_head
        self._open_leases = open_leases
        self._make_runner = make_runner
        self._head = head
        self._is_transient = is_transient
        self._stopping = asyncio.Event()
        self._share_due = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to return once the transactions under way are done."""
        self._stopping.set()
        self._share_soon()

    def numbers(self) -> dict[str, ProjectionNumbers]:
        """Return, by projection run here, what its partitions do, and did before they ended."""
        beating: dict[str, list[RunnerTally]] = {}
        counted: dict[str, list[RunnerTally]] = {}
        for partition, tally in self._tallies.items():
            if partition.copy == "verify":
                continue  # Nobody reads what it applies, and its failures are no read model's.
            beats = partition in self.runners and partition.copy == "live"
            tallies = beating if beats else counted
            tallies.setdefault(partition.projection, []).append(tally)
        here = {partition.projection for partition in self.runners}
        return {name: add_up(beating.get(name, ()), counted.get(name, ())) for name in here}

    async def run(self) -> None:
        """Work until `stop`; cancelling rolls the transactions under way back."""
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._outlast(self._follow_head))
            keeper = group.create_task(self._outlast(self._keep_leases))
            await keeper
            follower.cancel()

    async def _outlast(self, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part again whenever an outage ended it."""
        outages = 0
        while not self._stopping.is_set():
            try:
                await part()
            except Exception as error:
                if not self._is_transient(error):
                    raise
                outages += 1
                delay = min(delay_seconds(outages, 1.0), SHARE_SECONDS)
                await wait_at_most(self._stopping, delay)

    async def _follow_head(self) -> None:
        async with self._open_head() as source:
            self._head.restart()
            delay = FASTEST_SECONDS
            while not self._stopping.is_set():
                before = self._head.position
                self._head.advance(await source.advance())
                delay = next_delay_seconds(delay, moved=self._head.position > before)
                await source.rest(delay)

    def _share_soon(self) -> None:
        """Have leases shared at once, rather than when that is due."""
        self._share_due.set()

    async def _keep_leases(self) -> None:
        try:
            async with self._open_leases(self._share_soon) as leases:
                while not self._stopping.is_set():
                    self._share_due.clear()
                    gained, lost = await leases.share()
                    lost |= self._ended()
                    await self._stop_runners(lost)
                    for partition in lost:
                        await leases.release(partition)
                    self._start_runners(gained)
                    await wait_at_most(self._share_due, SHARE_SECONDS)
                # Leases are given back, with the session, only after their loops have ended.
                await self._stop_runners(tuple(self._tasks))
        finally:
            await self._cancel_runners()

    def _start_runners(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            tally = self._tallies.setdefault(partition, RunnerTally())
            runner = self.runners[partition] = self._make_runner(partition, tally)
            task = self._tasks[partition] = asyncio.create_task(self._drive(runner))
            task.add_done_callback(lambda _: self._share_soon())
            logger.info(
                "Projection %s runs here",
                partition,
                extra={"event": "sidecar.lease.taken", "projection": partition.projection},
            )

    def _ended(self) -> frozenset[Partition]:
        # Their checkpoint was gone, as a rebuild's is after its swap. Given back, so that the next
        # rebuild of that name finds a worker.
        return frozenset(partition for partition, task in self._tasks.items() if task.done())

    async def _drive(self, runner: Runner) -> None:
        """Run a loop, and again whenever a bug of ours ends it; user code cannot."""
        crashes = 0
        while True:
            try:
                await runner.run()
            except Exception:
                crashes += 1
                logger.exception(
                    "The loop of projection %s crashed; it is started again",
                    runner.partition,
                    extra={
                        "event": "sidecar.runner.crashed",
                        "projection": runner.partition.projection,
                    },
                )
                await runner.rest(delay_seconds(crashes, 1.0))
            else:
                return

    async def _stop_runners(self, partitions: Iterable[Partition]) -> None:
        """Let loops finish their transaction, and wait for it."""
        tasks = [self._tasks[p] for p in partitions if p in self._tasks]
        for partition in partitions:
            if partition in self.runners:
                self.runners[partition].stop()
        if tasks:
            await asyncio.wait(tasks)
        for partition in partitions:
            self._tasks.pop(partition, None)
            self.runners.pop(partition, None)

    async def _cancel_runners(self) -> None:
        tasks = list(self._tasks.values())
        # On a session that is gone the rollback fails, and its error takes the cancellation's
        # place: a loop takes that for an outage, and ends only because it was told to stop as well.
        for runner in self.runners.values():
            runner.stop()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.clear()
        self.runners.clear()


def next_delay_seconds(delay_seconds: float, *, moved: bool) -> float:
    """Return the pause before the next poll, after one that did or did not find something new."""
    if moved:
        return FASTEST_SECONDS
    return min(delay_seconds * _GROWTH, SLOWEST_SECONDS)
