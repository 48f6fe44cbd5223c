"""Sessions as the server counts them, for services whose pool is not counted."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from sidecar.events.tally import OTHER
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql

MAX_NAMES: Final = 50
"""Bounds the names, which clients choose freely."""

Activity = dict[tuple[str, str], int]
"""Sessions by (application name, state); each name has every state."""


class SessionState(StrEnum):
    """State of a session, as in metrics."""

    ACTIVE = "active"
    IDLE = "idle"
    IDLE_IN_TRANSACTION = "idle_in_transaction"
    OTHER = "other"


_STATES: Final = {
    "active": SessionState.ACTIVE,
    "idle": SessionState.IDLE,
    "idle in transaction": SessionState.IDLE_IN_TRANSACTION,
    "idle in transaction (aborted)": SessionState.IDLE_IN_TRANSACTION,
}


async def sample_activity(connection: RawConnection) -> Activity:
    """Count the sessions of the connection's database."""
    return fold(tuple(row) for row in await connection.fetch(sql("sample_activity")))


def fold(rows: Iterable[tuple[str, str, int]]) -> Activity:
    """Fold counts into a bounded set of names and states.

    Args:
        rows: Application name, state as PostgreSQL calls it, and number of sessions; both texts
            are empty where the server does not show them.
    """
    rows = tuple(rows)
    sizes: Counter[str] = Counter()
    for name, _, sessions in rows:
        sizes[name] += sessions
    known = {name for name, _ in sizes.most_common(MAX_NAMES) if name}
    names = {name if name in known else OTHER for name in sizes}
    activity = {(name, state.value): 0 for name in sorted(names) for state in SessionState}
    for name, state, sessions in rows:
        key = (name if name in known else OTHER, _STATES.get(state, SessionState.OTHER).value)
        activity[key] += sessions
    return activity
