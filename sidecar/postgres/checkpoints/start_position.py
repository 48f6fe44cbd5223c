"""The position after which a new projection or handler starts."""

import datetime as dt

from sidecar.errors import AheadOfLogError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from sidecar.postgres.query import sql
from sidecar.projections.log_start import NOW, Start


async def find_position(connection: RawConnection, start: Start) -> int:
    """Return the position after which a start begins; never one above the safe head.

    Raises:
        AheadOfLogError: It is a position that the log has not safely come to.
    """
    if start == 0:
        return 0
    # Not the highest position: below it a slow transaction may still commit.
    head = (await SafeHeadFollower().advance(connection)).position
    if isinstance(start, dt.datetime):
        before = await connection.fetchval(sql("find_position_before"), start.timestamp())
        return head if before is None else min(before, head)
    if start == NOW:
        return head
    if start > head:
        raise AheadOfLogError(f"Position {start} is not in the log; its last is {head}.")
    return start
