"""Two services in one database, with projections of the same name, each in a schema of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from tests.incidents import service
from tests.incidents.patience import eventually
from tests.incidents.program import Ended, Program, finish, serve
from tests.postgres.stage import fetchval

SERVICE = """
import service
from sidecar.events.publisher import EventPublisher

class Totals(service.Sums):
    name = "totals"
    table = "{table}"
    tables = ("{table}",)

publisher = EventPublisher(service.types)
publisher.add_projection(Totals())
"""
SCHEMAS = {"alpha": "sidecar", "beta": "Beta-1"}


@asynccontextmanager
async def serving(folder: Path, dsn: str, name: str) -> AsyncIterator[Program]:
    """Start one of the services, and wait until its worker runs."""
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / f"{name}.py").write_text(SERVICE.format(table=f"{name}_totals"))
    environ = {"SIDECAR_SCHEMA": SCHEMAS[name], "SIDECAR_DATA_DIR": str(place)}
    environ["PYTHONPATH"] = f"{place}:{Path(service.__file__).parent}"
    async with serve(place, dsn, f"{name}:publisher", **environ) as program:
        await program.line("sidecar.lease.taken", projection="totals")
        yield program


async def command(folder: Path, dsn: str, name: str, *words: str) -> Ended:
    """Type a command in a service's environment."""
    environ = {"DATABASE_URL": dsn, "SIDECAR_SCHEMA": SCHEMAS[name]}
    return await asyncio.to_thread(finish, folder / name, *words, **environ)


async def expect(dsn: str, name: str, cents: int) -> None:
    """Wait until a service's read model holds what was paid to it, and nothing else."""
    query = f"SELECT (coalesce(sum(cents), 0)::bigint, count(*))::text FROM {name}_totals"

    async def has_come() -> bool:
        return bool(await fetchval(dsn, query) == f"({cents},2)")

    await eventually(has_come)


async def test_services_of_two_schemas_share_nothing(tmp_path: Path, empty_database: str) -> None:
    dsn = empty_database
    async with (
        serving(tmp_path, dsn, "alpha"),
        serving(tmp_path, dsn, "beta"),
        MeteredPool(dsn, min_size=1) as pool,
    ):
        stores = {name: EventStore(pool, service.types, schema=SCHEMAS[name]) for name in SCHEMAS}
        for cents, store in enumerate(stores.values(), 1):
            for account in ("a", "b"):
                appended = await store.append(account, [service.Paid(account, cents)])
                await store.wait_until(appended.position, "totals", stream=account)
                assert appended.version == 1
        await expect(dsn, "alpha", 2)
        await expect(dsn, "beta", 4)
        await pool.execute("UPDATE beta_totals SET cents = 7 WHERE account = 'a'")
        verify = ("projections", "verify", "totals")
        equal, drifted = await asyncio.gather(
            *(command(tmp_path, dsn, name, *verify) for name in SCHEMAS)
        )
        assert (equal.code, drifted.code) == (0, 1), (equal, drifted)
        rebuild = ("projections", "rebuild", "totals")
        done = await asyncio.gather(*(command(tmp_path, dsn, n, *rebuild) for n in SCHEMAS))
        assert [each.code for each in done] == [0, 0], done
        await expect(dsn, "alpha", 2)
        await expect(dsn, "beta", 4)
        listed = await command(tmp_path, dsn, "beta", "projections", "list", "--format", "json")
        assert '"position": 2' in listed.out
        names = "SELECT string_agg(DISTINCT application_name, ',') FROM pg_stat_activity"
        assert "event-sidecar/Beta-1 worker-1 lease" in str(await fetchval(dsn, names))


@pytest.mark.parametrize("words", [("migrate",), ("projections", "list"), ("serve", "--port", "0")])
def test_a_schema_that_cannot_be_one_is_refused_by_every_command(
    tmp_path: Path, empty_database: str, words: tuple[str, ...]
) -> None:
    environ = {"DATABASE_URL": empty_database, "SIDECAR_SCHEMA": "public"}
    ended = finish(tmp_path, *words, **environ)
    assert ended.code == 2, ended
    assert "SIDECAR_SCHEMA is not a name for a schema" in ended.out + ended.err
