"""asyncpg's connection in the hands of a handler, for its turn."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from asyncpg.connection import _ConnectionProxy

from sidecar.errors import TransactionEndError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.handler.handler_session import HandlerSession
from sidecar.postgres.statement_effect import Trace, effect_of

_ENDING = frozenset({"close", "reset", "terminate"})


class HandlerRaw(_ConnectionProxy):
    """Passes all on to asyncpg's connection, which takes it for one of its own.

    Args:
        raw: The connection.
        require_turn: Raises once the handler has ended.
        session: Told what the handler's statements leave behind.
    """

    __slots__ = ("_con", "_require_turn", "_session")

    def __init__(
        self, raw: RawConnection, require_turn: Callable[[], None], session: HandlerSession
    ) -> None:
        self._con = getattr(raw, "_con", raw)
        self._require_turn = require_turn
        self._session = session

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an attribute of any kind
        attribute = getattr(self._con, name)
        if name.startswith("_") or not callable(attribute):
            return attribute

        @wraps(attribute)
        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - asyncpg's own
            self._require_turn()
            if name in _ENDING:
                raise TransactionEndError(
                    f"`{name}` was refused: the session holds the transaction of a batch and its "
                    "checkpoint. For a part that can be undone alone use "
                    "`async with connection.transaction()`."
                )
            query = options.get("query", args[0] if args else None)
            if isinstance(query, str):
                self._session.traces.update(effect_of(query).traces - {Trace.SAVEPOINT})
            return attribute(*args, **options)

        return call
