"""In whatever order releases of writer and worker come and go: right in the end, or told."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import pytest

from sidecar.postgres.checkpoints.acceptance import accept_passed_over, accept_retired
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.rebuild.rebuild import start_rebuild
from sidecar.postgres.store import EventStore
from sidecar.projections import cursor, dead_letter_retry, runner, worker
from tests.postgres.cluster import TEMPLATE, Cluster
from tests.postgres.deploying import NAME, Code, Service
from tests.postgres.eventually import eventually
from tests.postgres.stage import session

ABOUT: Final = ("Placed", "Paid", "Refunded", "Cancelled", "Shipped")
STREAMS: Final = 4
PATIENCE_SECONDS: Final = 30.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "deployments" in metafunc.fixturenames:
        first, count = (
            metafunc.config.getoption("--seed"),
            metafunc.config.getoption("--deployments"),
        )
        metafunc.parametrize("deployments", range(first, first + count))


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what is done now and then as soon as it can be."""
    monkeypatch.setattr(worker, "SHARE_SECONDS", 0.05)
    monkeypatch.setattr(worker, "SLOWEST_SECONDS", 0.02)
    monkeypatch.setattr(cursor, "UNHANDLED_MOVE_SECONDS", 0.01)
    monkeypatch.setattr(dead_letter_retry, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(runner, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr("sidecar.projections.live_copy.IDLE_SECONDS", 0.05)


class Deployments:
    """One sequence of releases, by seed."""

    def __init__(self, seed: int, service: Service) -> None:
        self.chance: Final = random.Random(seed)
        self.service: Final = service
        self.codes: Final = list(self.write_codes(self.chance.choice((1, 1, 3))))
        self.worker_code = self.writer_code = self.codes[0]
        self.has_projections = True
        self.did: Final[Counter[str]] = Counter()

    def write_codes(self, partitions: int) -> Iterator[Code]:
        """Yield releases, each of which changes something of the one before."""
        chance = self.chance
        known = chance.sample(ABOUT, 2)
        handled: list[str] = chance.sample(known, chance.randint(1, 2))
        renamed: set[str] = set()
        retired: set[str] = set()
        for _ in range(4):
            all_known = chance.random() < 0.2
            yield Code(
                tuple(known),
                None if all_known else tuple(handled),
                frozenset(renamed),
                frozenset(retired),
                partitions,
            )
            fresh = [about for about in ABOUT if about not in known and about not in retired]
            if fresh and chance.random() < 0.7:
                known = [*known, chance.choice(fresh)]
            if chance.random() < 0.7:
                handled = chance.sample(known, chance.randint(1, len(known)))
            if chance.random() < 0.3:
                renamed = renamed | {chance.choice(known)}
            gone = [about for about in known if about not in handled and about not in renamed]
            if gone and chance.random() < 0.3:
                about = chance.choice(gone)
                known, retired = [one for one in known if one != about], retired | {about}

    async def run(self) -> None:
        """Let releases come and go with traffic between them."""
        await self.service.start(self.worker_code)
        steps = (self.traffic, self.deploy_worker, self.deploy_writer, self.settle, self.retire)
        for _ in range(self.chance.randint(6, 10)):
            await self.traffic()
            [step] = self.chance.choices(steps, weights=(2, 5, 2, 2, 1))
            await step()
            if self.chance.random() < 0.5:
                await self.check()
        await self.check()

    async def traffic(self) -> None:
        """Write a few events, with a release that has the projections in it or without."""
        for _ in range(self.chance.randint(1, 5)):
            about = self.chance.choice(self.writer_code.known)
            await self.append(self.writer_code.stored(about)[-1])

    async def append(self, name: str) -> None:
        stream = f"s{self.chance.randrange(STREAMS)}"
        if self.has_projections:
            publisher = self.writer_code.publisher()
            found = publisher.types.find(name)
            assert found is not None
            await EventStore(self.service.pool, publisher.types).append(stream, [found.cls()])
            self.service.oracle.written(self.writer_code)
        else:
            await self.service.pool.execute(INSERT, stream, name)

    async def deploy_writer(self) -> None:
        """Write with another release."""
        self.did["writer"] += 1
        self.writer_code = self.chance.choice(self.codes)
        self.has_projections = self.chance.random() < 0.5

    async def deploy_worker(self) -> None:
        """Run another release, newer or older, by restart, beside the old one, or after a kill."""
        how = self.chance.choice(("restart", "rolling", "kill", "dies early"))
        self.did[how] += 1
        code = self.chance.choice(self.codes)
        if how in {"restart", "kill"}:
            if how == "kill":
                await asyncio.gather(self.traffic(), self.service.stop(kill=True))
            else:
                await self.service.stop()
            await self.traffic()
            await self.service.start(code)
        else:
            dies_early = how == "dies early"
            await asyncio.gather(self.traffic(), self.service.start(code, dies_early=dies_early))
            await self.traffic()
            if dies_early:
                return
            await self.service.stop()
        self.worker_code = code

    async def settle(self) -> None:
        """Decide what a blocked projection waits for."""
        await self.until_quiet()
        status = await self.service.status()
        if status.block is None:
            return
        lacking = self.service.oracle.declared - self.worker_code.handled_names()
        if not lacking and self.chance.random() < 0.6:
            await self.rebuild()
        else:
            self.did["accept"] += 1
            missing = await self.service.missing(self.worker_code)
            told = {one.type: one for one in status.passed_over}
            for row in missing:
                one = told.get(row["type"])
                is_told = one and one.first_position <= row["position"] <= one.last_position
                if is_told or not row["is_parked"]:
                    self.service.oracle.accepted.add(row["position"])
            async with session(self.service.dsn) as connection:
                await accept_passed_over(connection, NAME, "not wanted")

    async def rebuild(self) -> None:
        """Rebuild with the release that runs, which handles all that any does."""
        self.did["rebuild"] += 1
        async with session(self.service.dsn) as connection:
            await start_rebuild(connection, NAME)
        query = "SELECT count(*) = 0 FROM sidecar.checkpoints WHERE copy = 'rebuild'"
        await eventually(lambda: self.service.pool.fetchval(query), PATIENCE_SECONDS)

    async def retire(self) -> None:
        """Say that nobody wants a type any more which the release that runs does not handle."""
        await self.until_quiet()
        oracle = self.service.oracle
        if lacking := sorted(oracle.declared - self.worker_code.handled_names()):
            self.did["retire"] += 1
            name = self.chance.choice(lacking)
            missing = await self.service.missing(self.worker_code)
            oracle.accepted |= {row["position"] for row in missing if row["type"] == name}
            oracle.retire([name])
            async with session(self.service.dsn) as connection:
                await accept_retired(connection, NAME, [name], "gone")

    async def until_quiet(self) -> None:
        await eventually(self.service.is_quiet, PATIENCE_SECONDS)

    async def check(self) -> None:
        """Compare what is told with what the read model lacks."""
        await self.until_quiet()
        status = await self.service.status()
        missing = await self.service.missing(self.worker_code)
        await self.check_parked()
        lacking = [row for row in missing if not row["is_parked"]]
        told = {one.type: one for one in status.passed_over}
        has_waited = await self.service.pool.fetchval("SELECT count(*) FROM sidecar.dead_letters")
        for kind in {row["type"] for row in lacking}:
            positions = [row["position"] for row in lacking if row["type"] == kind]
            assert kind in told, f"silent: {kind} at {positions}, told {told}"
            one = told[kind]
            if not has_waited and not self.service.oracle.accepted:
                said = (one.events, one.first_position, one.last_position)
                assert said == (len(positions), min(positions), max(positions))
            assert one.events >= len(positions)
            assert one.first_position <= min(positions)
            assert one.last_position >= max(positions)
        handled = self.worker_code.handled_names()
        if any(row["type"] in handled for row in lacking):
            assert status.block == "passed_over", status
            assert f"sidecar projections rebuild {NAME}" in str(status.detail)
        assert await self.service.pool.fetchval(DISORDER) == 0

    async def check_parked(self) -> None:
        """Each stream that waits names the first event that it waits for, and its type."""
        missing = await self.service.lacking(self.worker_code)
        letters = await self.service.pool.fetch(LETTERS)
        assert {row["category"] for row in letters} <= {"unknown-type", "queued"}, letters
        waiting = {row["stream"]: row for row in letters}
        first: dict[str, asyncpg.Record] = {}
        for row in missing:
            if row["is_parked"]:
                first.setdefault(row["stream"], row)
        for stream, letter in waiting.items():
            if letter["category"] == "unknown-type":
                row = first[stream]
                assert (row["position"], row["type"]) == (letter["position"], letter["event_type"])

    async def end_right(self) -> str:
        """Let a release that handles everything put it right; return whether that was needed."""
        status = await self.service.status()
        missing = await self.service.missing(self.worker_code)
        verdict = "told" if missing or status.block else "right"
        everything = Code(ABOUT, None, frozenset(ABOUT), partitions=self.codes[0].partitions)
        await self.service.stop_all()
        await self.service.start(everything)
        self.worker_code = everything
        await self.until_quiet()
        if (await self.service.status()).passed_over or self.service.oracle.accepted:
            await self.rebuild()
            await self.until_quiet()
        assert await self.service.missing(everything) == []
        assert (await self.service.status()).detail is None
        assert await self.service.pool.fetch(LETTERS) == []
        return verdict


INSERT: Final = (
    "INSERT INTO sidecar.events (stream, version, type, data) "
    "SELECT $1, 1 + count(*), $2, '{}' FROM sidecar.events WHERE stream = $1"
)
LETTERS: Final = (
    "SELECT stream, position, event_type, category FROM sidecar.dead_letters "
    "WHERE resolution IS NULL"
)
# A rebuild fills a table of its own, so that lines ascend in each.
DISORDER: Final = """
    SELECT count(*) FROM (
        SELECT s.line, lag(s.line) OVER (PARTITION BY e.stream ORDER BY e.version) AS before
        FROM seen s JOIN sidecar.events e USING (position)
    ) AS lines WHERE before > line
"""


@asynccontextmanager
async def open_service(cluster: Cluster) -> AsyncIterator[Service]:
    async with (
        cluster.database(TEMPLATE) as dsn,
        MeteredPool(dsn, name="writer", min_size=1, max_size=4) as pool,
    ):
        service = Service(dsn, pool)
        try:
            yield service
        finally:
            await service.stop_all()


async def test_in_random_deployments_the_read_model_is_right_or_what_it_lacks_is_told(
    cluster: Cluster, deployments: int, record_property: Callable[[str, object], None]
) -> None:
    async with open_service(cluster) as service:
        sequence = Deployments(deployments, service)
        await sequence.run()
        verdict = await sequence.end_right()
    record_property("verdict", verdict)
    record_property("did", dict(sequence.did))
