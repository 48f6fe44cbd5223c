"""Numbered SQL files, applied under a lock, in order, once."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import asyncpg

from sidecar.errors import MigrationError
from sidecar.postgres.connection import RawConnection, read_committed
from sidecar.postgres.query import sql
from sidecar.postgres.rights import list_missing, missing_rights
from sidecar.postgres.schema import current_schema, qualify

CONCURRENT_MARK: Final = "-- concurrently\n"
TURN_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `number` counts from 1 without holes.

    A script that begins with `-- concurrently` only builds indexes, without blocking writers, which
    cannot be done in a transaction. Its statements may be repeated, as after an interrupted build,
    and end with a semicolon at the end of a line.
    """

    number: int
    name: str
    script: str

    @property
    def is_concurrent(self) -> bool:
        """Whether it runs outside of a transaction, after all that run in one."""
        return self.script.startswith(CONCURRENT_MARK)

    def statements(self) -> Iterator[str]:
        """Yield the statements one by one."""
        return (part for part in self.script.split(";\n") if part.strip())


@cache
def load_migrations() -> tuple[Migration, ...]:
    """Return all migrations of this release, ascending."""
    folder = resources.files("sidecar.postgres").joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in files
    )


async def pending(connection: RawConnection) -> Sequence[Migration]:
    """Return the migrations not yet applied, ascending.

    Raises:
        MigrationError: The schema was made by a newer release.
    """
    if not await connection.fetchval(sql("has_migrations")):
        return load_migrations()
    applied = {row["number"] for row in await connection.fetch(sql("list_migrations"))}
    known = load_migrations()
    newest = max(applied, default=0)
    if newest > known[-1].number:
        raise MigrationError(
            f"The schema is at migration {newest}, this release knows {known[-1].number}; "
            "upgrade event-sidecar or point DATABASE_URL elsewhere."
        )
    return [migration for migration in known if migration.number not in applied]


async def migrate(connection: RawConnection) -> Sequence[Migration]:
    """Apply the pending migrations, each in the same transaction as its record.

    Indexes of large tables come last and do not block writers. Safe to call from many processes at
    once: one applies, the others wait and find nothing to do.

    Raises:
        MigrationError: A step failed and was rolled back, the schema is newer than this release,
            or it holds what is not the sidecar's.
        MissingRightsError: The role has no right to change the schema; nothing was changed.
    """
    await _refuse_strangers(connection)
    if not await pending(connection):
        return []
    try:
        return await _migrate(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise missing_rights(await list_missing(connection, for_migrating=True)) from error


async def _refuse_strangers(connection: RawConnection) -> None:
    """Leave a schema alone that holds what somebody else made."""
    if rows := await connection.fetch(sql("list_strangers")):
        names = ", ".join(row["name"] for row in rows)
        raise MigrationError(
            f"The schema {current_schema()} is not the sidecar's: it holds {names}. Nothing was "
            "changed; set SIDECAR_SCHEMA to another name, of a schema that is empty or not there."
        )


async def _migrate(connection: RawConnection) -> list[Migration]:
    has_turn = False
    try:
        async with read_committed(connection):
            await connection.execute(sql("lift_limits"), True)
            await connection.execute(sql("lock_migrations"))
            await connection.execute(sql("create_migrations"))
            steps = [step for step in await pending(connection) if not step.is_concurrent]
            for step in steps:
                await _apply(connection, step)
            # Taken before the first lock is released, so that one process applies all.
            has_turn = await connection.fetchval(sql("try_lock_builds"))
        has_turn = has_turn or await _wait_for_turn(connection)
        return sorted(steps + await _build(connection), key=lambda step: step.number)
    finally:
        if has_turn and not connection.is_closed():
            await connection.execute(sql("unlock_builds"))


async def _wait_for_turn(connection: RawConnection) -> bool:
    """Poll for the lock: a build waits for every running statement, and so for one that waits."""
    while not await connection.fetchval(sql("try_lock_builds")):  # noqa: ASYNC110 - another process
        await asyncio.sleep(TURN_POLL_SECONDS)
    return True


async def _build(connection: RawConnection) -> list[Migration]:
    steps = list(await pending(connection))
    if steps:
        await connection.execute(sql("lift_limits"), False)
    for step in steps:
        await _apply(connection, step)
    return steps


async def find_unsafe_sequence(connection: RawConnection) -> str:
    """Return why events could be missed; empty when they cannot.

    A sequence with a cache gives each session a block of positions, which it may use much later:
    then no lock proves that a missing position stays missing. A sequence that was set back, as by
    `TRUNCATE ... RESTART IDENTITY` or a copy without sequences, gives out positions that every
    checkpoint has passed.
    """
    row = await connection.fetchrow(sql("read_sequence"))
    if row is None:
        return qualify(
            "sidecar.events has lost the sequence of its positions; restore it from a backup"
        )
    if row["cache_size"] != 1:
        return qualify(
            f"the sequence of sidecar.events hands out {row['cache_size']} positions at a time; "
            "make it one: ALTER TABLE sidecar.events ALTER COLUMN position SET CACHE 1"
        )
    last, passed = row["last_value"], row["passed"]
    if last is None or last >= passed:
        return ""
    return qualify(
        f"the sequence of sidecar.events was set back to {last}, but position {passed} is passed: "
        "no projection hears of what is appended now. Rebuild those that lack events once you have "
        f"set it: SELECT setval(pg_get_serial_sequence('sidecar.events', 'position'), {passed})"
    )


async def _apply(connection: RawConnection, step: Migration) -> None:
    try:
        for statement in step.statements() if step.is_concurrent else (step.script,):
            await connection.execute(qualify(statement))
        await connection.execute(sql("record_migration"), step.number, step.name)
    except asyncpg.InsufficientPrivilegeError:
        raise
    except asyncpg.PostgresError as error:
        left = "It is begun anew the next time" if step.is_concurrent else "Nothing was changed"
        raise MigrationError(
            f"Migration {step.name} failed with SQLSTATE {error.sqlstate}: {error.args[0]}. {left}."
        ) from error
