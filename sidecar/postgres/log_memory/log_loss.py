"""The lost end of a log: recorded by whoever finds it, told until a person takes it as it is."""

import logging

from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.projections.log_memory import LogLoss, describe_hold, describe_loss

logger = logging.getLogger(__name__)


async def keep_loss(connection: RawConnection, loss: LogLoss) -> None:
    """Record a loss and have handlers wait, unless that was done before."""
    known = (loss.last_position, loss.common_position, loss.events, loss.is_exact)
    async with read_committed(connection):
        first = (loss.first_position, loss.first_event)
        if not await connection.fetchval(sql("keep_log_loss"), *first, *known):
            return
        for handler, position in await connection.fetch(sql("list_running_handlers")):
            detail = describe_hold(handler, loss, position)
            await connection.execute(sql("hold_handler"), handler, detail)
    logger.critical(
        "%s",
        describe_loss(loss),
        extra={"event": "sidecar.log.end_lost", "position": loss.first_position},
    )


async def list_losses(connection: RawConnection) -> tuple[LogLoss, ...]:
    """Return those that nobody has settled."""
    rows = await connection.fetch(sql("sample_log_losses"))
    return tuple(LogLoss(*row) for row in rows)


async def accept_log(connection: RawConnection, token: str, reason: str) -> list[str]:
    """Take a log as it is, and let every handler go on; return their names.

    The reason is kept. Where no loss of that token is recorded, the database itself takes the place
    of the one that was seen before.

    Args:
        connection: In no transaction.
        token: The mark that the message named.
        reason: Why it is right.
    """
    async with read_committed(connection):
        settled = await connection.fetch(sql("settle_log_losses"), token, reason)
        await connection.execute(sql("keep_acceptance"), "", _what(token), reason)
        if not settled or await connection.fetchval(sql("has_open_loss")):
            return []
        return [row["projection"] for row in await connection.fetch(sql("release_handlers"), None)]


async def accept_loss(connection: RawConnection, handler: str, reason: str) -> bool:
    """Let one handler go on where its checkpoint is; return False when it does not wait for that.

    The reason is kept. Once no handler waits any more the losses are settled.
    """
    async with read_committed(connection):
        if not await connection.fetch(sql("release_handlers"), handler):
            return False
        await connection.execute(sql("keep_acceptance"), handler, "the lost end of the log", reason)
        await settle_unless_held(connection, reason)
        return True


async def settle_unless_held(connection: RawConnection, reason: str) -> None:
    """Settle the losses once no handler waits for a decision about them."""
    if not await connection.fetchval(sql("is_held"), None):
        await connection.execute(sql("settle_log_losses"), None, reason)


async def is_accepted(connection: RawConnection, token: str) -> bool:
    """Return True when a person took the log in the place of the one with this mark."""
    return bool(await connection.fetchval(sql("is_log_accepted"), _what(token)))


def _what(token: str) -> str:
    return f"the log in the place of {token}"
