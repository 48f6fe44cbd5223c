"""The tables that each projection declares, as the database knows them."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Final

from sidecar.errors import ProjectionError, SharedTableError
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.lease import key_of, list_held
from sidecar.postgres.query import sql
from sidecar.projections.projection import Partition
from sidecar.projections.table_claim import TableClaim, describe_rivals, find_rivals, find_sharers

_PART: Final = r'\s*("([^"]|"")+"|[^\s."]+)\s*'
_PARTS: Final = re.compile(r'"((?:[^"]|"")+)"|([^\s."]+)')
NAME: Final = rf"^{_PART}(\.{_PART})?$"
"""Matches what `to_regclass` takes for a name."""


async def require_sole(
    connection: RawConnection, projection: str, siblings: Collection[str] = ()
) -> None:
    """Make sure that no other projection fills the same tables, on the search path of this one.

    It is registered already; its siblings are the projections of the same worker.

    Raises:
        SharedTableError: One does, or it declares a table twice.
    """
    claims = await _list_claims(connection, siblings)
    if projection in claims:
        _refuse_twice(claims[projection])
    _refuse(projection, claims, find_rivals)


async def require_unshared(connection: RawConnection, projection: str) -> None:
    """Make sure that a projection's tables may be replaced by copies that it alone filled.

    Raises:
        SharedTableError: Another one declares one of them.
    """
    _refuse(projection, await _list_claims(connection, ()), find_sharers)


async def require_same_tables(connection: RawConnection, projection: str) -> None:
    """Make sure that a projection declares the tables that its rebuild was begun with.

    Raises:
        ProjectionError: It declares others.
    """
    if not await connection.fetchval(sql("has_rebuild"), projection):
        raise ProjectionError(
            f"the `tables` of {projection} changed since it began; `sidecar projections rebuild "
            f"{projection}` begins it anew with those of today, `--cancel` drops it"
        )


def _refuse_twice(claim: TableClaim) -> None:
    for known, other in claim.twice.items():
        raise SharedTableError(
            f"{claim.projection} declares one table as {known} and as {other}. Spell it alike in "
            "its `tables`, or in those of all members of the group, and start the workers again."
        )


def _refuse(
    projection: str,
    claims: dict[str, TableClaim],
    find: Callable[[TableClaim, Iterable[TableClaim]], dict[str, str]],
) -> None:
    own = claims.pop(projection, None)
    if own is not None and (found := find(own, claims.values())):
        left = [name for name in found if claims[name].has_run and not claims[name].is_alive]
        raise SharedTableError(describe_rivals(projection, found, () if own.has_run else left))


async def _list_claims(
    connection: RawConnection, siblings: Collection[str]
) -> dict[str, TableClaim]:
    held = await list_held(connection)
    claims: dict[str, TableClaim] = {}
    for row in await connection.fetch(sql("list_claims"), NAME):
        name = row["projection"]
        parts = (Partition(name, index, row["partitions"]) for index in range(row["partitions"]))
        is_alive = name in siblings or any(key_of(part) in held for part in parts)
        claim = claims.setdefault(name, TableClaim(name, {}, row["has_run"], is_alive))
        claim.add(row["oid"] or _place_of(row["name"], row["schema"]), row["name"])
    return claims


def _place_of(name: str, schema: str | None) -> str:
    """Return the place of a table that does not exist yet, as PostgreSQL reads its name."""
    parts = [quoted or plain.lower() for quoted, plain in _PARTS.findall(name)]
    return ".".join(parts if len(parts) > 1 else [schema or "", *parts])


async def find_filled(connection: RawConnection, tables: Collection[str]) -> list[str]:
    """Return those of the tables that exist and hold rows."""
    filled = []
    for row in await connection.fetch(sql("find_tables"), list(tables), NAME):
        if row["can_read"]:
            # Quoted by PostgreSQL.
            holds = await connection.fetchval(f"SELECT EXISTS (SELECT FROM {row['place']})")  # noqa: S608
        else:
            holds = row["has_pages"]
        if holds:
            filled.append(row["name"])
    return filled
