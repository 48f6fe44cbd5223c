"""The loops of a worker: the one that verifies, and what the heartbeat tells of each."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.verify.verification_store import VerificationStore
from sidecar.process.heartbeat import LoopReport
from sidecar.projections.context import PartitionContext
from sidecar.projections.head_signal import HeadSignal
from sidecar.projections.interruption import find_longest
from sidecar.projections.projection import Partition
from sidecar.projections.runner import Runner
from sidecar.projections.verify_copy import VerifyCopy


def make_verifier(context: PartitionContext, pool: MeteredPool) -> Runner:
    """Make the loop that verifies a projection: one for all of its partitions."""
    store = VerificationStore(pool, context.subscription)
    whole = Partition(context.partition.projection, copy="verify")
    alone = replace(context, partition=whole, store=store, head=HeadSignal())
    return Runner(alone, partial(VerifyCopy, store=store))


def report_loops(runners: Mapping[Partition, Runner]) -> tuple[LoopReport, ...]:
    """Return how each loop does, for the heartbeat."""
    return tuple(
        LoopReport(
            projection=partition.projection,
            index=partition.index,
            copy=partition.copy,
            heartbeat_age_seconds=_age_seconds(runner.tally.heartbeat_mono),
            interruption=find_longest(runner.tally.interruptions.values()),
        )
        for partition, runner in runners.items()
    )


def _age_seconds(since_mono: float | None) -> float | None:
    return None if since_mono is None else time.monotonic() - since_mono
