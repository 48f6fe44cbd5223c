"""The schemas that hold the copies of a read model beside the live one."""

import hashlib
from typing import Final

from sidecar.errors import MissingRightsError, RebuildStrayedError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.query import sql
from sidecar.postgres.schema import DEFAULT_SCHEMA, current_schema

MAX_NAME_BYTES: Final = 63
_MARK_LENGTH: Final = 9


def new_schema(projection: str) -> str:
    """Return the schema in which a projection's new tables are filled."""
    return _name("sidecar_new_", projection)


def old_schema(projection: str) -> str:
    """Return the schema in which its old tables are kept after a swap."""
    return _name("sidecar_old_", projection)


def verify_schema(projection: str) -> str:
    """Return the schema in which its log is applied anew, to be compared with."""
    return _name("sidecar_verify_", projection)


def step_schema() -> str:
    """Return the schema in which a stream's events are stepped through; it is never committed."""
    return "sidecar_step" if current_schema() == DEFAULT_SCHEMA else _name("sidecar_step_", "")


def _name(prefix: str, projection: str) -> str:
    """Join them; a hash tells names apart that PostgreSQL would cut, or two services have."""
    service, key = current_schema(), projection
    if service != DEFAULT_SCHEMA:
        prefix, key = f"{prefix}{service}_", f"{service} {projection}"
    whole = f"{prefix}{projection}".encode()
    if len(whole) <= MAX_NAME_BYTES and key == projection:
        return whole.decode()
    mark = "_" + hashlib.sha256(key.encode()).hexdigest()[: _MARK_LENGTH - 1]
    return whole[: MAX_NAME_BYTES - _MARK_LENGTH].decode(errors="ignore") + mark


async def create_schema(connection: RawConnection, schema: str) -> None:
    """Make a schema for a copy.

    Raises:
        MissingRightsError: The role may make none.
    """
    row = await connection.fetchrow(sql("may_make_schema"))
    if row is not None and not row["may"]:
        raise MissingRightsError(
            "A copy of the read model needs a schema of its own, and the role may make none. Let "
            f"the owner of the database run: {row['statement']}"
        )
    await connection.execute(f"CREATE SCHEMA {quote(schema)}")


async def drop_copy(connection: RawConnection, schema: str) -> None:
    """Drop a schema with the copy in it, if it is there."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {quote(schema)} CASCADE")


def quote(name: str) -> str:
    """Return a name as an identifier in a statement."""
    return '"' + name.replace('"', '""') + '"'


async def refuse_stray_writes(connection: RawConnection, projection: str, schema: str) -> None:
    """Make sure that a batch has written to nothing but the copy in its schema.

    A table that is missing from `tables`, or is written with its schema, is the live one.

    Raises:
        RebuildStrayedError: It wrote elsewhere as well, and must not be committed.
    """
    rows = await connection.fetch(sql("list_stray_writes"), schema)
    if rows:
        names = ", ".join(row["name"] for row in rows)
        raise RebuildStrayedError(
            f"the handler wrote to {names}, beside the new copy, which was rolled back; add what "
            f"is missing to `tables` of {projection}, or write it without its schema"
        )
