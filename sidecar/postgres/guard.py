"""Refusal of statements that would end a transaction which their author does not own."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn

import asyncpg

from sidecar.errors import TransactionEndError

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection

_MAY_END: Final = re.compile(r"\b(?:commit|rollback|abort|end|prepare)\b", re.IGNORECASE)
_ENDS: Final = re.compile(
    r"(?:commit|end|abort|prepare\s+transaction"
    r"|rollback(?!\s+(?:(?:work|transaction)\s+)?to\b))\b",
    re.IGNORECASE,
)
# What can hold a semicolon that ends no statement; of a C comment only its beginning, since these
# comments nest.
_OPAQUE: Final = re.compile(
    r"""--[^\n]*
      | (?P<comment>/\*)
      | \bE'(?:[^'\\]|\\.|'')*'
      | '(?:[^']|'')*'
      | "(?:[^"]|"")*"
      | (?P<tag>\$(?:[A-Za-z_\x80-\uffff]\w*)?\$).*?(?P=tag)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
# The body of a function in standard SQL, where the server itself refuses to end a transaction.
_BODY: Final = re.compile(r"\bbegin\s+atomic\b", re.IGNORECASE)


def ends_transaction(query: str) -> bool:
    """Return True when a text of one or more statements would end the transaction that it runs in.

    A savepoint is none, and inside a DO block or a procedure the server itself refuses it.
    """
    if not _MAY_END.search(query):
        return False
    text = _strip(query)
    if _BODY.search(text):
        return False
    return any(_ENDS.match(statement.lstrip()) for statement in text.split(";"))


def _strip(query: str) -> str:
    """Return a text without comments and without the contents of quotes."""
    kept, start = [], 0
    while found := _OPAQUE.search(query, start):
        kept.append(query[start : found.start()])
        is_comment = found["comment"] is not None
        start = _end_of_comment(query, found.end()) if is_comment else found.end()
        kept.append(" " if is_comment or found[0].startswith("--") else "''")
    kept.append(query[start:])
    return "".join(kept)


def _end_of_comment(query: str, start: int) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(query)


def keep_transaction(connection: object, owner: str) -> AbstractContextManager[None]:
    """Refuse, for a block, statements that would end a connection's transaction, if it can."""
    guard = getattr(connection, "keep_transaction", None)
    return nullcontext() if guard is None else guard(owner)


class GuardedConnection(_Connection):
    """A connection that can refuse to end its transaction."""

    _owner: str | None = None

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

    def require_harmless(self, query: str) -> None:
        """Refuse a statement that would end the transaction.

        Raises:
            TransactionEndError: It would.
        """
        if self._owner is not None and ends_transaction(query):
            self._refuse("ends the transaction")

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


def _guarded(name: str) -> Callable[..., object]:
    """Return asyncpg's method of a name, with a check of the statement before it."""
    method = getattr(asyncpg.Connection, name)

    @wraps(method)
    def call(self: GuardedConnection, query: str, *args: object, **options: object) -> object:
        self.require_harmless(query)
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
