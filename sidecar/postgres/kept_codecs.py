"""Codecs as they were: what a handler has set is taken back when it is done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

from typing_extensions import override

from sidecar.postgres.keepalive import KeepaliveConnection

Codecs: TypeAlias = Mapping[tuple[str, str], Callable[[], Awaitable[None]]]
"""By schema and type, what sets the codec again. It is replaced, never changed."""


class KeptCodecsConnection(KeepaliveConnection):
    """A connection that knows which codecs it has.

    Attributes:
        codecs: Those that are set.
    """

    codecs: Codecs = {}  # noqa: RUF012 - never changed

    @override
    async def set_type_codec(
        self, typename: str, *, schema: str = "public", **options: Any
    ) -> None:
        set_codec = partial(super().set_type_codec, typename, schema=schema, **options)
        await set_codec()
        self.codecs = {**self.codecs, (schema, typename): set_codec}

    @override
    async def set_builtin_type_codec(
        self, typename: str, *, schema: str = "public", **options: Any
    ) -> None:
        set_codec = partial(super().set_builtin_type_codec, typename, schema=schema, **options)
        await set_codec()
        self.codecs = {**self.codecs, (schema, typename): set_codec}

    @override
    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        await super().reset_type_codec(typename, schema=schema)
        kept = {key: each for key, each in self.codecs.items() if key != (schema, typename)}
        self.codecs = kept

    async def restore_codecs(self, codecs: Codecs) -> None:
        """Have the codecs of an earlier moment again, and no others."""
        for schema, typename in self.codecs.keys() - codecs.keys():
            await super().reset_type_codec(typename, schema=schema)
        for key, set_codec in codecs.items():
            if self.codecs.get(key) is not set_codec:
                await set_codec()
        self.codecs = codecs


@asynccontextmanager
async def keep_codecs(connection: Any) -> AsyncIterator[None]:  # noqa: ANN401 - of any pool
    """Have a connection leave a block with the codecs that it came with."""
    codecs = getattr(connection, "codecs", None)
    try:
        yield
    finally:
        if getattr(connection, "codecs", None) is not codecs and not connection.is_closed():
            await connection.restore_codecs(codecs)
