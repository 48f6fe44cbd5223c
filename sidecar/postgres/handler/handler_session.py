"""What a handler leaves in its session, undone at the end of its turn: the next one begins anew."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

import asyncpg

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.statement_effect import Trace, names_in

_NO_CODECS: Final[Mapping[object, Callable[[], Coroutine[Any, Any, None]]]] = {}


class HandlerSession:
    """Knows how the session was, and what the handler under way has left in it.

    Settings, roles, temporary tables, cursors, statements prepared by name, codecs and whether
    constraints are deferred. Advisory locks are held until the batch is committed, and go then.

    Attributes:
        traces: What the handler under way has left.
        has_emptied: Whether one has emptied a table in this transaction.

    Args:
        raw: The session, in a transaction.
    """

    __slots__ = ("_before", "_codecs", "_own_settings", "_raw", "has_emptied", "traces")

    def __init__(self, raw: RawConnection) -> None:
        self.traces: set[Trace] = set()
        self.has_emptied = False
        self._raw: Final = raw
        self._before: asyncpg.Record | None = None
        self._own_settings: dict[str, str] = {}
        self._codecs: Final = getattr(raw, "codecs", _NO_CODECS)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self.traces) or self._has_new_codecs

    @property
    def _has_new_codecs(self) -> bool:
        return getattr(self._raw, "codecs", _NO_CODECS) is not self._codecs

    async def expect(self, traces: Iterable[Trace], texts: Iterable[object] = ()) -> None:
        """Look how the session is, before a statement changes it.

        Args:
            traces: What the statement leaves behind.
            texts: It and its parameters, which name the settings.
        """
        if Trace.SETTING in traces:
            await self._read_settings()
            names = {name for text in texts if isinstance(text, str) for name in names_in(text)}
            if unknown := sorted(names - self._own_settings.keys()):
                found = await self._raw.fetchval(sql("read_own_settings"), unknown)
                self._own_settings |= dict.fromkeys(unknown, found)
        self.traces.update(traces)

    async def _read_settings(self) -> None:
        """Look how the session is, once in its transaction."""
        if self._before is None:
            self._before = await self._raw.fetchrow(sql("read_settings"))

    expect_anything = _read_settings

    async def undo(self) -> None:
        """Undo what was left since the last call.

        Raises:
            asyncpg.PostgresError: Something cannot be undone.
        """
        traces, self.traces = self.traces, set()
        if Trace.SETTING in traces and self._before is not None:
            settings, role, login = self._before
            await self._raw.execute(sql("restore_role"), role, login)
            await self._raw.execute(sql("restore_settings"), settings)
            for own in set(self._own_settings.values()):
                await self._raw.execute(sql("restore_own_settings"), own)
        if Trace.CONSTRAINTS in traces:
            names = await self._raw.fetchval(sql("list_deferred_constraints"))
            deferred = f"; SET CONSTRAINTS {names} DEFERRED" if names else ""
            await self._raw.execute(f"SET CONSTRAINTS ALL IMMEDIATE{deferred}")
        if Trace.PREPARED in traces:
            await self._raw.execute(await self._raw.fetchval(sql("list_prepared_by_name")) or "")
        if traces & {Trace.CURSOR, Trace.TEMPORARY}:
            await self._raw.execute("CLOSE ALL")
        if Trace.TEMPORARY in traces:
            await self._raw.execute("DISCARD TEMP")
        self.has_emptied |= Trace.EMPTIED in traces
        await self.undo_codecs()

    def forget(self) -> None:
        """Take note of a rollback, which has undone all but what no transaction undoes."""
        self.traces &= {Trace.PREPARED}

    async def undo_codecs(self) -> None:
        """Take back the codecs that a handler has set."""
        if self._has_new_codecs:
            restore: Any = getattr(self._raw, "restore_codecs", None)
            await restore(self._codecs)
