"""Refusal of statements that would end a transaction which their author does not own."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn

import asyncpg

from sidecar.errors import TransactionEndError
from sidecar.postgres.statement_effect import effect_of

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection


def keep_transaction(connection: object, owner: str) -> AbstractContextManager[None]:
    """Refuse, for a block, statements that would end a connection's transaction, if it can."""
    guard = getattr(connection, "keep_transaction", None)
    return nullcontext() if guard is None else guard(owner)


FAILED_BEFORE: Final = (
    "An error of a statement was caught before this. Put the statement into `async with "
    "connection.transaction()`, and catch its error outside of that."
)


class GuardedConnection(_Connection):
    """A connection that can refuse to end its transaction."""

    _owner: str | None = None
    _must_commit = False

    @contextmanager
    def keep_transaction(self, owner: str) -> Iterator[None]:
        """Refuse, for a block, statements that would end the open transaction.

        Args:
            owner: The owner of the transaction, for the error's text.
        """
        self._owner = owner
        try:
            yield
        finally:
            self._owner = None

    def demand_commit(self) -> None:
        """Have the end of the open transaction fail unless it is committed.

        PostgreSQL answers the commit of a failed transaction with a rollback, and no error.
        """
        self._must_commit = True

    async def _run_demanding(self, query: str, args: Iterable[object], options: Any) -> str:  # noqa: ANN401 - asyncpg's own
        if query.startswith(("COMMIT", "ROLLBACK", "BEGIN")):
            self._must_commit = False
        status = await super().execute(query, *args, **options)
        if status == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError(
                f"The transaction was rolled back at its commit. {FAILED_BEFORE}"
            )
        return status

    def require_harmless(self, query: str) -> None:
        """Refuse a statement that would end the transaction, or a session.

        Raises:
            TransactionEndError: It would.
        """
        if self._owner is not None and (forbidden := effect_of(query).forbidden):
            self._refuse(forbidden)

    def _refuse(self, deed: str) -> NoReturn:
        raise TransactionEndError(
            f"What {deed} was refused: the transaction is that of {self._owner}, and holds its "
            "checkpoint. For a part that can be undone alone use "
            "`async with connection.transaction()`."
        )

    async def close(self, **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Close the connection, unless its transaction has an owner."""
        if self._owner is not None:
            self._refuse("closes the connection")
        await super().close(**options)

    async def reset(self, **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Reset the session, unless its transaction has an owner."""
        if self._owner is not None:
            self._refuse("resets the session")
        await super().reset(**options)


def _guarded(name: str) -> Callable[..., object]:
    """Return asyncpg's method of a name, with a check of the statement before it."""
    method = getattr(asyncpg.Connection, name)

    @wraps(method)
    def call(self: GuardedConnection, query: str, *args: object, **options: object) -> object:
        self.require_harmless(query)
        if self._must_commit and name == "execute":
            return self._run_demanding(query, args, options)
        return method(self, query, *args, **options)

    return call


for _name in (
    "execute",
    "executemany",
    "fetch",
    "fetchval",
    "fetchrow",
    "fetchmany",
    "prepare",
    "cursor",
):
    setattr(GuardedConnection, _name, _guarded(_name))
