"""A savepoint of a handler, used as asyncpg's transaction is."""

from typing import TYPE_CHECKING

from sidecar.errors import ConnectionMisuseError

if TYPE_CHECKING:
    from sidecar.postgres.handler.deferred import DeferredConnection


class HandlerBlock:
    """A part that can be undone alone: by `async with`, or by `start` and `commit` or `rollback`.

    Made by the connection's `transaction`. Blocks end in the reverse of the order they began in.
    """

    __slots__ = ("_connection", "_depth", "_is_managed", "_turn")

    def __init__(self, connection: "DeferredConnection") -> None:
        self._connection = connection
        # 0 before it has begun, and after its end.
        self._depth = 0
        self._turn = 0
        self._is_managed = False

    async def start(self) -> None:
        """Set the savepoint."""
        if self._depth:
            raise ConnectionMisuseError("The block has begun already; take a new `transaction()`.")
        self._depth = await self._connection.open_savepoint()
        self._turn = self._connection.turn

    async def commit(self) -> None:
        """Keep what was done since `start`."""
        self._require_unmanaged()
        await self._release()

    async def rollback(self) -> None:
        """Undo what was done since `start`."""
        self._require_unmanaged()
        await self._undo()

    async def __aenter__(self) -> None:
        self._is_managed = True
        await self.start()

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._is_managed = False
        if kind is not None:
            await self._undo()
            return
        depth = self._depth
        try:
            await self._release()
        except BaseException:
            # One that is left after the end of its handler is not undone.
            self._connection.require_turn(self._turn)
            await self._connection.undo_savepoint(depth)
            raise

    async def _release(self) -> None:
        depth = self._require_begun()
        if not self._connection.is_innermost(depth):
            raise ConnectionMisuseError("A block that was begun later is still open; end it first.")
        self._depth = 0
        await self._connection.release_savepoint()

    async def _undo(self) -> None:
        depth = self._require_begun()
        self._depth = 0
        await self._connection.undo_savepoint(depth)

    def _require_begun(self) -> int:
        if not self._depth:
            raise ConnectionMisuseError("The block has not begun, or has ended already.")
        self._connection.require_turn(self._turn)
        return self._depth

    def _require_unmanaged(self) -> None:
        if self._is_managed:
            raise ConnectionMisuseError("`async with` ends its block by itself.")
