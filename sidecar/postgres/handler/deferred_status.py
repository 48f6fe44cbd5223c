"""The status of a deferred statement: reading it raises, since the server gave none yet."""

from collections.abc import Callable
from typing import Any, Final, NoReturn

from sidecar.errors import DeferredStatusError
from sidecar.projections.statement_text import head_of

# Every operation that a text, a number or a list takes part in, and some more, but for those that
# Python itself needs of any object; `repr` answers, so that a debugger can show it.
_NEEDED: Final = frozenset(
    {
        "__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__getattribute__",
        "__init__", "__init_subclass__", "__new__", "__repr__", "__setattr__", "__sizeof__",
        "__subclasshook__",
    }
)  # fmt: skip
_READS: Final = (
    *sorted({*dir(str), *dir(int), *dir(float), *dir(list), *dir(dict), *dir(bytes)} - _NEEDED),
    "__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__", "__call__", "__complex__",
    "__copy__", "__deepcopy__", "__enter__", "__exit__", "__fspath__", "__matmul__", "__next__",
    "__rmatmul__",
)  # fmt: skip


class DeferredStatus:
    """Stands for PostgreSQL's status of a statement that is not sent yet.

    Attributes:
        query: The statement.

    Args:
        query: The statement.
        record_use: Called at each use, since a handler may catch the error, or use what `repr`
            answers.
    """

    __slots__ = ("_record_use", "query")

    def __init__(self, query: str, record_use: Callable[[DeferredStatusError], None]) -> None:
        self.query = query
        self._record_use = record_use

    def __repr__(self) -> str:
        self._record_use(_describe_use(self.query))
        return "<status of a deferred statement>"

    # What writes JSON looks at the class before it gives up.
    @property  # type: ignore[misc]  # it raises
    def __class__(self) -> type:
        _refuse(self)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a text's method of any kind
        # Those of Python's protocols are read by code that only inspects an object.
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(self)


def _refuse(status: DeferredStatus, *_: object) -> NoReturn:
    error = _describe_use(status.query)
    status._record_use(error)  # noqa: SLF001 - a method
    raise error


def _describe_use(query: str) -> DeferredStatusError:
    return DeferredStatusError(
        "The status of a deferred statement was used: `execute` holds writes back, so PostgreSQL "
        "has not answered yet. Set `eager = True` on the projection, or ask with `fetchval` and "
        f"RETURNING. The statement begins with: {head_of(query)}",
        query,
    )


for _name in _READS:
    if _name.startswith("__"):
        setattr(DeferredStatus, _name, _refuse)
