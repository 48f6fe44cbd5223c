"""Every error that the sidecar raises on purpose, each with a stable code."""

from collections.abc import Iterator
from typing import ClassVar


class SidecarError(Exception):
    """Base of all.

    Attributes:
        code: Stable snake_case, fit for logs, spans and metric labels.
    """

    code: ClassVar[str] = "sidecar_error"

    def __init_subclass__(cls, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.code = code or cls.code


class UsageError(SidecarError, code="usage"):
    """A request that cannot work; the message says what would."""


class TargetError(UsageError, code="target_not_found"):
    """TARGET does not name a publisher; the command line exits with 2."""


class TokenFileError(SidecarError, code="token_file"):
    """The token of the guarded pages cannot be read or kept; the message says where and why."""


class ConcurrencyError(SidecarError, code="concurrency_conflict"):
    """A stream is not at the version that its writer expected; nothing was appended.

    Attributes:
        stream: The stream's name.
        expected: The version that the writer expected; 0 means "no such stream yet", None any.
        actual: The version found. `None` when a concurrent writer won the race for the same
            version and its number could not be read inside the failed transaction.
    """

    def __init__(self, stream: str, expected: int | None, actual: int | None) -> None:
        super().__init__(_describe_conflict(stream, expected, actual))
        self.stream = stream
        self.expected = expected
        self.actual = actual


def _describe_conflict(stream: str, expected: int | None, actual: int | None) -> str:
    if expected is None:
        return (
            f"Other writers of stream {stream!r} were faster. Append again; where that is part of "
            "an open transaction, roll back and run the whole of it again."
        )
    found = "another writer was faster" if actual is None else f"it is at {actual}"
    return (
        f"Stream {stream!r} was expected at version {expected}, but {found}. "
        "Read the stream again, decide anew, and append with the version just read."
    )


class SerializationConflictError(SidecarError, code="serialization_conflict"):
    """PostgreSQL failed the caller's transaction for what others committed meanwhile.

    That is how `serializable` and `repeatable read` work: run the whole transaction again.
    """


class EventTypeError(SidecarError, code="event_type"):
    """An event class cannot be registered or is not registered."""


class EventDecodingError(SidecarError, code="event_decoding"):
    """A stored event does not fit its registered type; it is parked, never guessed.

    The message names position, type and the place in the document, never a value.
    """


class UnknownTypeError(SidecarError, code="unknown_type"):
    """Another release of a projection handles an event's type, and this one does not.

    The event is kept for a release that does; passing over it would leave the read model without
    it for good.
    """

    def __init__(self, projection: str, event_type: str) -> None:
        super().__init__(
            f"Another release of {projection} handles {event_type}, and this one does not. A "
            "worker of one that does takes the event up by itself. If nobody wants it any more: "
            f"`sidecar projections accept {projection} --retire {event_type} --reason TEXT`."
        )


class ProjectionError(SidecarError, code="projection"):
    """A projection is declared or driven in a way that cannot work."""


class AheadOfLogError(ProjectionError, code="ahead_of_log"):
    """A position was named that the log has not come to."""


class NothingToAcceptError(ProjectionError, code="nothing_to_accept"):
    """A projection does not wait for what was decided about it."""


class ForeignCheckpointError(ProjectionError, code="checkpoint_foreign"):
    """A projection of the same name belongs to another service in the same database."""


class SharedTableError(ProjectionError, code="table_shared"):
    """Two projections declare one table; a rebuild of one would wipe what the other keeps there."""


class PartitionCountError(ProjectionError, code="partition_count"):
    """A projection wants another number of partitions, and its rows cannot be divided anew now."""


class ApprovalNeededError(ProjectionError, code="approval_needed"):
    """A rebuild would take rows away that are read now; it waits until a person approves that."""


class CheckpointMovedError(SidecarError, code="checkpoint_moved"):
    """Another owner moved the checkpoint first; this batch was rolled back and nothing is lost."""


class CheckpointGoneError(SidecarError, code="checkpoint_gone"):
    """The checkpoint's row is gone, and its loop ends.

    Its rebuild was cancelled or swapped in, or the projection runs in another number of partitions.
    """


class ProjectionPausedError(SidecarError, code="projection_paused"):
    """The projection was paused; its loop waits for `sidecar projections resume`."""


class ReadModelLateError(SidecarError, code="read_model_late"):
    """A read model has not come up to a position in time; it may come later."""


class HandlerExitError(SidecarError, code="handler_exit"):
    """A subscriber raised what ends a task or a process; handled as its other errors are."""


class ConnectionMisuseError(SidecarError, code="connection_misuse"):
    """A handler used its connection in a way that cannot work; handled as its other errors are."""


class DeferredStatusError(ConnectionMisuseError, code="deferred_status"):
    """The status of a statement was read that is held back, so that PostgreSQL gave none yet.

    Attributes:
        query: The statement.
    """

    def __init__(self, message: str, query: str) -> None:
        super().__init__(message)
        self.query = query


class ConnectionEndedError(ConnectionMisuseError, code="connection_ended"):
    """A connection was used after its handler had ended, by a task that it had started."""


class ConcurrentStatementsError(ConnectionMisuseError, code="concurrent_statements"):
    """Two statements at a time on one connection, which runs one after the other."""


class TransactionEndError(ConnectionMisuseError, code="transaction_end"):
    """A handler ended, or was kept from ending, the transaction that holds its checkpoint."""


class RebuildStrayedError(SidecarError, code="rebuild_strayed"):
    """A rebuild wrote beside its new copy; that was rolled back, and the live copy goes on."""


class StoreUnavailableError(SidecarError, code="store_unavailable"):
    """PostgreSQL is out of reach, ended the session, has no room or lost count of its positions.

    The caller may try again, unless the message says that a session ended: what was under way in it
    may have been committed, and would then be done twice.
    """


class StoreUnreachableError(StoreUnavailableError):
    """No session could be opened; the message says why and what to do, and holds no secret.

    Attributes:
        cause: Stable word of a closed set, fit for a metric label.
        reason: What happened, without a full stop.
        cure: What to do.
    """

    def __init__(self, message: str, *, cause: str, reason: str, cure: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.reason = reason
        self.cure = cure


class DatabaseUrlError(StoreUnavailableError, code="database_url"):
    """The database URL cannot be read; the message holds nothing of it."""


class StoreRefusedError(SidecarError, code="store_refused"):
    """PostgreSQL refused a statement, for lack of a privilege for instance."""


class MissingRightsError(StoreRefusedError, code="missing_rights"):
    """The role lacks rights; the message holds the statements that grant them."""


class EmbeddedServerError(SidecarError, code="embedded_server"):
    """The PostgreSQL shipped with the `embedded` extra is missing or did not start."""


class LogShortenedError(SidecarError, code="log_shortened"):
    """The log ends before a position that was seen before: the server lost its latest commits.

    That happens when a replica takes over that had not received them. Projections go on from their
    checkpoints, which the same replica has; what it lacks, only a backup can bring back.
    """


class MigrationError(SidecarError, code="migration"):
    """The schema is missing or newer than this release, or a migration failed and was undone."""


def trace_back(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, each once: one that is raised again may be its own cause."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__
