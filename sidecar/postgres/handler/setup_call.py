"""Calling a projection's `setup` with a connection as its handler has it."""

from sidecar.events.exit import no_exit
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.handler_connection import HandlerConnection
from sidecar.projections.projection import Subscription


async def call_setup(connection: RawConnection, subscription: Subscription) -> None:
    """Call the setup of a projection, if it has one, and undo what it leaves in the session.

    Args:
        connection: In a transaction that the caller ends.
        subscription: Of the projection.

    Raises:
        Exception: Raised by it.
    """
    if subscription.setup is None:
        return
    lent = HandlerConnection(connection, eager=True, owner=subscription.name)
    lent.begin_turn()
    try:
        with no_exit():
            await subscription.setup(lent)
        await lent.check_turn()
    finally:
        lent.end()
