"""Parameters of a deferred statement: copied, so that later changes do not reach them."""

import copy
import datetime as dt
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import asyncpg

# Immutable types; a row of a result is read-only, too.
CONSTANT: Final[frozenset[type]] = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, Decimal, uuid.UUID,
        dt.date, dt.time, dt.datetime, dt.timedelta, asyncpg.Record,
    }
)  # fmt: skip


def keep(row: Iterable[object]) -> tuple[object, ...]:
    """Return a row of parameters that cannot change any more.

    Raises:
        Exception: One of them cannot be copied.
    """
    kept = row if type(row) is tuple else tuple(row)
    return kept if CONSTANT.issuperset(map(type, kept)) else tuple(map(_keep, kept))


def _keep(value: object) -> object:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    # A subclass may hold more than its items.
    if type(value) is list or type(value) is tuple:
        kept = keep(value)
        return list(kept) if type(value) is list else kept
    return value if type(value) in CONSTANT else copy.deepcopy(value)
