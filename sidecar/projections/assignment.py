"""Who runs what: partitions shared fairly among workers by leases. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from sidecar.projections.projection import Partition


@dataclass(frozen=True, slots=True)
class Assignment:
    """Leases to try for, in order, and leases to give back."""

    take: tuple[Partition, ...]
    give: tuple[Partition, ...]


def assign_partitions(
    partitions: Iterable[Partition],
    mine: frozenset[Partition],
    others: frozenset[Partition],
    members: int,
    offset: int,
) -> Assignment:
    """Decide which leases a worker should try for and which it should give back.

    Each worker holds at most its fair share, rounded up; a worker with room takes what is free
    beyond that.

    Args:
        partitions: Everything there is to run; what is not among it is given back.
        mine: Held by this worker.
        others: Held by anyone else.
        members: Workers alive that have the same to run, this one included.
        offset: Differs between workers, so that they do not all try for the same lease first.
    """
    ordered = sorted(partitions, key=_order)
    fair = ceil(len(ordered) / max(members, 1))
    # Sorted, so that what is given back is the same in every call.
    gone = mine.difference(ordered)
    kept = sorted(mine - gone, key=_order)
    given = (*gone, *kept[fair:])
    room = max(fair - len(kept), 0)
    free = [p for p in ordered if p not in mine and p not in others]
    turn = offset % len(free) if free else 0
    return Assignment(take=tuple((free[turn:] + free[:turn])[:room]), give=given)


def _order(partition: Partition) -> tuple[str, str, int]:
    return partition.copy, partition.projection, partition.index
