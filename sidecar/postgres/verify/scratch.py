"""A read model in a schema of its own, made anew as often as it is wanted, and thrown away."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec

from sidecar.errors import ProjectionError
from sidecar.postgres.connection import RawConnection, open_session, read_committed
from sidecar.postgres.handler.setup_call import call_setup
from sidecar.postgres.query import sql
from sidecar.postgres.rebuild.rebuild import OBSTACLES
from sidecar.postgres.tables.copies import create_schema, drop_copy, quote
from sidecar.postgres.tables.table_copy import Place, copy_shape, require_table
from sidecar.postgres.tables.table_shape import TableShape, read_shapes
from sidecar.projections.projection import Subscription

PREFIX: Final = "sidecar_check_"
APPLICATION: Final = "sidecar check"

Row: TypeAlias = dict[str, Any]
"""Values by column, as JSON has them; numbers with digits behind the point as texts."""

_decode_row = msgspec.json.Decoder(Row, float_hook=str).decode


class Scratch:
    """Where a read model is made, used and dropped; nobody else looks into its schemas.

    Attributes:
        schema: Of the read model.
        copy_schema: Of a second one with the same tables.
    """

    def __init__(self, keeper: RawConnection, schema: str) -> None:
        self.schema: Final = schema
        self.copy_schema: Final = f"{schema}_new"
        self._keeper: Final = keeper

    async def renew(self, subscription: Subscription, ignored: Sequence[str]) -> list[TableShape]:
        """Drop what is there, make the read model anew, and return its tables.

        Those that the projection's `setup` does not make are copied, without rows, from where the
        search path finds them.

        Raises:
            ProjectionError: There are none, one cannot be made, or something was made elsewhere.
        MissingRightsError: The role may make no schema.
            Exception: Raised by `setup`.
        """
        async with read_committed(self._keeper):
            await self.drop()
            await create_schema(self._keeper, self.schema)
            declared = [await self._find(table) for table in subscription.tables]
            await self._keeper.fetchval(sql("prepend_search_path"), self.schema)
            await self.set_up(subscription)
            made = await self._list_tables()
            missing = [each for each in declared if each is not None and each.name not in made]
            for place in missing:
                await copy_shape(self._keeper, place, self.schema)
            return await self._read_shapes(subscription, ignored)

    async def set_up(self, subscription: Subscription) -> None:
        """Run the projection's `setup`, as each start of a worker does."""
        if subscription.setup is None:
            return
        async with self._keeper.transaction():
            await self._keeper.fetchval(sql("prepend_search_path"), self.schema)
            await call_setup(self._keeper, subscription)
            elsewhere = await self._keeper.fetch(sql("list_made_elsewhere"), self.schema)
        if elsewhere:
            names = ", ".join(row["name"] for row in elsewhere)
            raise ProjectionError(
                f"The `setup` of {subscription.name} made or changed {names}, which was undone: "
                "name tables without a schema, so that a copy of the read model can be made."
            )

    async def copy(self, shapes: Sequence[TableShape]) -> bool:
        """Make the second copy, as a rebuild does; return False when it would refuse to."""
        for shape in shapes:
            found = await self._keeper.fetchrow(sql("find_table"), str(shape.place))
            if found is None or any(found[column] for column in OBSTACLES):
                return False
        async with read_committed(self._keeper):
            await self._keeper.execute(f"CREATE SCHEMA {quote(self.copy_schema)}")
            for shape in shapes:
                await copy_shape(self._keeper, shape.place, self.copy_schema)
        return True

    async def read(self, shapes: Sequence[TableShape], schema: str) -> dict[str, list[Row]]:
        """Return the rows of one copy by table, without the columns that are left out."""
        found = {}
        for shape in shapes:
            place = f"{quote(schema)}.{quote(shape.place.name)}"
            left_out = list(shape.left_out)
            query = f"SELECT (to_jsonb(t.*) - $1::text[])::text AS row FROM {place} AS t"  # noqa: S608
            rows = await self._keeper.fetch(query, left_out)
            found[shape.table] = [_decode_row(row["row"]) for row in rows]
        return found

    async def divide(self, streams: Sequence[str], partitions: int) -> dict[str, int]:
        """Return to which partition each stream belongs."""
        rows = await self._keeper.fetch(sql("divide_streams"), streams, partitions)
        return {row["stream"]: row["partition"] for row in rows}

    async def drop(self) -> None:
        """Drop both copies."""
        await drop_copy(self._keeper, self.copy_schema)
        await drop_copy(self._keeper, self.schema)

    async def _find(self, table: str) -> Place | None:
        found = await self._keeper.fetchval("SELECT to_regclass($1)", table)
        return None if found is None else await require_table(self._keeper, table, {}, "")

    async def _list_tables(self) -> list[str]:
        rows = await self._keeper.fetch(sql("list_scratch_tables"), self.schema)
        return [row["name"] for row in rows]

    async def _read_shapes(
        self, subscription: Subscription, ignored: Sequence[str]
    ) -> list[TableShape]:
        tables = subscription.tables or [quote(name) for name in await self._list_tables()]
        if not tables:
            raise ProjectionError(
                f"{subscription.name} has no tables that could be compared: make them in `setup`, "
                "or declare `tables` that are in the database."
            )
        places = [await require_table(self._keeper, table, {}, "") for table in tables]
        return await read_shapes(self._keeper, tables, places, ignored)


@asynccontextmanager
async def open_scratch(dsn: str) -> AsyncIterator[Scratch]:
    """Lend a scratch schema for a block; nothing of it is left afterwards.

    What a killed process has left behind is dropped by the next one.

    Raises:
        StoreUnavailableError: The server cannot be reached, or ended the session.
    """
    schema = PREFIX + secrets.token_hex(4)
    async with open_session(dsn, application_name=APPLICATION) as keeper:
        await keeper.execute("SET synchronous_commit = off")
        await _sweep(keeper)
        await keeper.fetchval(sql("try_own_scratch"), schema)
        scratch = Scratch(keeper, schema)
        try:
            yield scratch
        finally:
            if not keeper.is_closed():
                await scratch.drop()


def is_of_code(error_type: str) -> bool:
    """Return True for PostgreSQL's errors about a statement itself: no event is to blame."""
    found = getattr(asyncpg, error_type, None)
    return isinstance(found, type) and issubclass(found, asyncpg.SyntaxOrAccessError)


async def _sweep(keeper: RawConnection) -> None:
    """Drop what processes that are gone have left behind."""
    for row in await keeper.fetch(sql("list_scratch")):
        owned = row["schema"].removesuffix("_new")
        if await keeper.fetchval(sql("try_own_scratch"), owned):
            await drop_copy(keeper, row["schema"])
            await keeper.fetchval(sql("give_up_scratch"), owned)
