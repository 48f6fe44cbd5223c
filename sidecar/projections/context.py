"""What all parts of one partition's loop share."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from sidecar.events.wait import wait_at_most
from sidecar.projections.delivery import Router
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.observer import RunnerObserver, RunnerTally
from sidecar.projections.ports import ProjectionStore
from sidecar.projections.projection import Partition, Subscription
from sidecar.projections.retry import RetryPolicy

# A transaction ends after about this long even if its page is not done, so that progress is seen,
# locks are short and a crash costs little.
BATCH_SECONDS: Final = 2.0
# An idle loop beats this often, and notices within this time that it is paused or resumed.
IDLE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionContext:
    """One partition of one projection or handler, and what its loop works with.

    Attributes:
        tally: Where the loop counts; handed on from an earlier loop, so that counters never fall.
        stopping: Set when no more transactions are to begin.
    """

    subscription: Subscription
    partition: Partition
    router: Router
    store: ProjectionStore
    head: HeadSignal
    observer: RunnerObserver
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    tally: RunnerTally = field(default_factory=RunnerTally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """Let the loop end after the transaction under way."""
        self.stopping.set()
        self.head.wake()

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until `stop`."""
        await wait_at_most(self.stopping, seconds)
