"""The status of a deferred statement: reading it raises, since the server gave none yet."""

from collections.abc import Callable
from typing import Any, Final, NoReturn

from sidecar.errors import DeferredStatusError

# The operations of a text, but for `repr`, so that a debugger can show it.
_READS: Final = (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__len__",
    "__iter__", "__contains__", "__getitem__", "__str__", "__format__", "__int__", "__float__",
    "__index__", "__bytes__", "__add__", "__radd__", "__mod__", "__rmod__", "__mul__", "__rmul__",
)  # fmt: skip


class DeferredStatus:
    """Stands for PostgreSQL's status of a statement that is not sent yet.

    Args:
        query: The statement.
        record_use: Called at each use, since a handler may catch the error.
    """

    __slots__ = ("_query", "_record_use")

    def __init__(self, query: str, record_use: Callable[[DeferredStatusError], None]) -> None:
        self._query = query
        self._record_use = record_use

    def __repr__(self) -> str:
        return "<status of a deferred statement>"

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a text's method of any kind
        # Those of Python's protocols are read by code that only inspects an object.
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(self)


def _refuse(status: DeferredStatus, *_: object) -> NoReturn:
    error = DeferredStatusError(
        "The status of a deferred statement was used: `execute` holds writes back, so PostgreSQL "
        "has not answered yet. Set `eager = True` on the projection, or ask with `fetchval` and "
        f"RETURNING. The statement begins with {status._query[:60]!r}."  # noqa: SLF001 - a method
    )
    status._record_use(error)  # noqa: SLF001 - a method
    raise error


for _name in _READS:
    setattr(DeferredStatus, _name, _refuse)
