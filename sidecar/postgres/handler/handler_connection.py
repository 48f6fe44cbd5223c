"""All of asyncpg's connection for handlers: in the order of writes, or refused with a cure."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NoReturn

import asyncpg
from typing_extensions import override

from sidecar.errors import (
    ConcurrentStatementsError,
    ConnectionMisuseError,
    TransactionEndError,
)
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.deferred import DeferredConnection
from sidecar.postgres.handler.handler_block import HandlerBlock
from sidecar.postgres.handler.handler_cursor import HandlerCursors
from sidecar.postgres.handler.handler_raw import HandlerRaw
from sidecar.postgres.handler.handler_statement import HandlerStatement
from sidecar.postgres.handler.write_buffer import Row

_ISOLATION: Final = "read_committed"
_ELSEWHERE: Final = "The connection goes back to its pool after the batch. Open one of your own."
_IN_ORDER: Final = (
    "Writes are deferred, so that it would hear of them late or never. It is there on "
    "`await connection.raw()`, whose statements are sent at once."
)
_NOT_YOURS: Final = "The session and its transaction hold the checkpoint, and are ended elsewhere."

REFUSED: Final = {
    "add_listener": _ELSEWHERE,
    "add_log_listener": _ELSEWHERE,
    "add_query_logger": _IN_ORDER,
    "add_termination_listener": _ELSEWHERE,
    "query_logger": _IN_ORDER,
    "remove_listener": _ELSEWHERE,
    "remove_log_listener": _ELSEWHERE,
    "remove_query_logger": _IN_ORDER,
    "remove_termination_listener": _ELSEWHERE,
}
"""What a handler's connection lacks, and what to do instead."""
ENDING: Final = ("close", "reset", "terminate")
"""What would end the session or its transaction."""


class HandlerConnection(DeferredConnection):
    """Gives handlers what asyncpg's connection has.

    Attributes:
        is_shared: Whether a handler was given asyncpg's connection.
    """

    __slots__ = ("_stuck_by", "is_shared")

    def __init__(
        self, raw: RawConnection, *, eager: bool = False, owner: str = "a projection"
    ) -> None:
        super().__init__(raw, eager=eager, owner=owner)
        self.is_shared = False
        self._stuck_by: ConcurrentStatementsError | None = None

    @override
    async def abandon(self) -> None:
        if self._stuck_by is not None:
            # Once: whoever hears it ends the session.
            stuck_by, self._stuck_by = self._stuck_by, None
            raise stuck_by
        await super().abandon()

    async def raw(self) -> RawConnection:
        """Return asyncpg's connection, for code that wants nothing else, after a flush.

        It can be used until the handler ends. The handler's later writes are sent at once, so that
        both keep one order.
        """
        with self._turnstile:
            await self._flush()
            await self._session.expect_anything()
        self._eager = self.is_shared = True
        turn = self._turn
        require: Callable[[], None] = lambda: self.require_same_turn(turn)  # noqa: E731
        raw: Any = HandlerRaw(self._raw, require, self._session)
        return raw  # type: ignore[no-any-return]  # asyncpg itself takes it for one

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> HandlerBlock:
        """Return a block in a savepoint, so that a handler can catch an error of its statements.

        Raises:
            ConnectionMisuseError: It asks for what only a whole transaction can have.
        """
        if isolation not in {None, _ISOLATION} or readonly or deferrable:
            raise ConnectionMisuseError(
                "`transaction` opens a savepoint within the transaction of the batch, which is "
                "read committed, writes, and cannot be deferrable. Leave out isolation, readonly "
                "and deferrable, or use a connection of your own."
            )
        return HandlerBlock(self)

    async def prepare(
        self,
        query: str,
        *,
        name: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's own
        record_class: type[asyncpg.Record] | None = None,
    ) -> HandlerStatement:
        """Prepare a statement, which is used in the order of the writes until the handler ends."""
        options: Any = {"name": name, "timeout": timeout, "record_class": record_class}
        prepared = await self.run(lambda: self._raw.prepare(query, **options), query)
        return HandlerStatement(self, prepared)

    def cursor(
        self,
        query: str,
        *args: object,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> HandlerCursors:
        """Return a cursor for `async for`, or with `await` one to move by hand."""
        options: Any = {"timeout": timeout, "record_class": record_class}
        return HandlerCursors(
            self, lambda: self._raw.cursor(query, *args, **options), query, prefetch
        )

    async def fetchmany(self, query: str, args: Iterable[Row], **options: Any) -> list[Any]:  # noqa: ANN401 - asyncpg's own
        """Run a statement once per row of arguments and return all rows; writes go first."""
        return await self.run(lambda: self._raw.fetchmany(query, args, **options), query)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> str:  # noqa: ANN401 - asyncpg's own
        """Copy rows into a table; writes go first."""
        return await self.run(lambda: self._raw.copy_records_to_table(table_name, **options))

    async def copy_to_table(self, table_name: str, **options: Any) -> str:  # noqa: ANN401 - asyncpg's own
        """Copy a file into a table; writes go first."""
        return await self.run(lambda: self._raw.copy_to_table(table_name, **options))

    async def copy_from_table(self, table_name: str, **options: Any) -> str:  # noqa: ANN401 - asyncpg's own
        """Copy a table to a file; writes go first."""
        return await self._copy_out(lambda: self._raw.copy_from_table(table_name, **options))

    async def copy_from_query(self, query: str, *args: object, **options: Any) -> str:  # noqa: ANN401 - asyncpg's own
        """Copy what a query returns to a file; writes go first."""
        copy = lambda: self._raw.copy_from_query(query, *args, **options)  # noqa: E731
        return await self._copy_out(copy, query)

    async def _copy_out(self, copy: Callable[[], Awaitable[str]], query: str = "") -> str:
        """Run a COPY; where its output fails, asyncpg is stuck in it."""
        try:
            return await self.run(copy, query)
        except (ConnectionMisuseError, asyncpg.PostgresError):
            raise
        except BaseException:
            self._stuck_by = ConcurrentStatementsError(
                "A COPY goes on, whose output failed or was cancelled: nothing more can be done on "
                "its connection. Copy to memory (`io.BytesIO`), and write that down afterwards."
            )
            self._record_misuse(self._stuck_by)
            raise

    async def set_type_codec(self, typename: str, **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Set how values of a type are written and read, until the handler ends."""
        await self.run(lambda: self._raw.set_type_codec(typename, **options))

    async def set_builtin_type_codec(self, typename: str, **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Have a type written and read as another one, until the handler ends."""
        await self.run(lambda: self._raw.set_builtin_type_codec(typename, **options))

    async def reset_type_codec(self, typename: str, **options: Any) -> None:  # noqa: ANN401 - asyncpg's own
        """Take the codec of a type back, until the handler ends."""
        await self.run(lambda: self._raw.reset_type_codec(typename, **options))

    async def reload_schema_state(self) -> None:
        """Have asyncpg look anew what the types are."""
        await self.run(self._raw.reload_schema_state)

    def is_closed(self) -> bool:
        """Return True once the session has ended."""
        return self._raw.is_closed()

    def is_in_transaction(self) -> bool:
        """Return True, for a handler runs in the transaction of its batch."""
        return self._raw.is_in_transaction()

    def get_server_pid(self) -> int:
        """Return the process id of the session at the server."""
        return self._raw.get_server_pid()

    def get_server_version(self) -> Any:  # noqa: ANN401 - asyncpg's own
        """Return the server's version."""
        return self._raw.get_server_version()

    def get_settings(self) -> Any:  # noqa: ANN401 - asyncpg's own
        """Return what the server has told of its settings."""
        return self._raw.get_settings()

    def get_reset_query(self) -> str:
        """Return what resets a session."""
        return self._raw.get_reset_query()

    def __getattr__(self, name: str) -> NoReturn:
        has = name.startswith("_") or not hasattr(asyncpg.Connection, name)
        where = "" if has else f"; asyncpg's own has: `(await connection.raw()).{name}`"
        raise AttributeError(f"The connection of a handler has no {name!r}{where}", name=name)


def _refuse(name: str, cure: str, error: type[ConnectionMisuseError]) -> Callable[..., NoReturn]:
    def call(_: HandlerConnection, *_args: object, **_options: object) -> NoReturn:
        raise error(f"`{name}` is refused on the connection of a handler. {cure}")

    return call


for _name, _cure in REFUSED.items():
    setattr(HandlerConnection, _name, _refuse(_name, _cure, ConnectionMisuseError))
for _name in ENDING:
    setattr(HandlerConnection, _name, _refuse(_name, _NOT_YOURS, TransactionEndError))
