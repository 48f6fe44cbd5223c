"""What a person decides about a projection on the command line, and what became of it."""

from dataclasses import dataclass

from sidecar.errors import NothingToAcceptError
from sidecar.postgres.checkpoints import acceptance
from sidecar.postgres.checkpoints.passed_over_counter import list_passed_over
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.dead_letters.letter_deletions import accept_deleted
from sidecar.postgres.log_memory.log_loss import accept_loss
from sidecar.postgres.tables.table_marks import accept_changes
from sidecar.projections.log_start import Start


@dataclass(frozen=True, slots=True)
class Decision:
    """How a projection is taken as it is; at most one of the last three is given.

    Attributes:
        reason: Why that is right; it is kept.
        start: The last position whose effects its tables hold.
        types: Types of events that nobody wants any more.
        old: The name that it had.
    """

    reason: str
    start: Start | None = None
    types: tuple[str, ...] = ()
    old: str | None = None


async def decide(
    connection: RawConnection, service: str | None, name: str, decision: Decision
) -> str:
    """Carry a decision out and say what is so now; a second time changes nothing.

    Args:
        connection: In no transaction.
        service: Which one asks; None for one without a name.
        name: Of the projection.
        decision: About it.

    Raises:
        ProjectionError: There is no such projection, or it waits for another decision.
    """
    reason = decision.reason
    if decision.old is not None:
        if await acceptance.accept_renamed(connection, name, decision.old, reason):
            return f"it goes on from where {decision.old} stood, in a worker that has it so named"
        return f"it was taken over from {decision.old} before"
    if decision.types:
        waiting = await acceptance.accept_retired(connection, name, decision.types, reason)
        return f"{', '.join(decision.types)} is retired; {waiting} stream(s) go on without it"
    try:
        if decision.start is not None:
            position = await acceptance.accept_position(connection, name, decision.start, reason)
            return f"it goes on after position {position}"
        return await _accept(connection, service, name, decision)
    except NothingToAcceptError:
        return "there is nothing to accept"


async def _accept(
    connection: RawConnection, service: str | None, name: str, decision: Decision
) -> str:
    if await acceptance.accept_service(connection, name, service, decision.reason):
        return f"it belongs to {service} now, whose workers go on with it"
    if (position := await acceptance.accept_new(connection, name, decision.reason)) is not None:
        return f"it is one of its own, and starts after position {position}"
    return await _accept_as_it_is(connection, name, decision.reason)


async def _accept_as_it_is(connection: RawConnection, name: str, reason: str) -> str:
    if await acceptance.accept_joined(connection, name, reason):
        return "it goes on with its tables as they are, and all of its members"
    if tables := await accept_changes(connection, name, reason):
        return f"it goes on with {', '.join(tables)} as it is now"
    if await accept_loss(connection, name, reason):
        return "it goes on after its checkpoint, on the log as it is now"
    deleted = await accept_deleted(connection, name, reason)
    if deleted and name not in await list_passed_over(connection):
        return f"it goes on without {deleted} event(s) of deleted dead letters"
    events = await acceptance.accept_passed_over(connection, name, reason)
    return f"it goes on without {events + deleted} event(s) that it passed over"
