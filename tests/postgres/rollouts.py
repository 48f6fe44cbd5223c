"""Releases of a service's writer and workers that come and go, with traffic between them."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sidecar.postgres.checkpoints.acceptance import accept_renamed
from sidecar.postgres.store import EventStore
from tests.postgres.deploying import Service
from tests.postgres.eventually import eventually
from tests.postgres.release_code import Code
from tests.postgres.release_history import write_history
from tests.postgres.stage import session
from tests.postgres.what_is_told import check

STREAMS: Final = 4
PATIENCE_SECONDS: Final = 30.0
MAX_SETUP_SECONDS: Final = 0.03


class Rollouts:
    """One service, and what is deployed of it, by seed.

    Attributes:
        worker_code: The release that runs.
        writer_code: The release that writes.
        has_projections: Whether the writer has the projections in it.
        did: How often each thing was done.
    """

    def __init__(self, seed: int, service: Service) -> None:
        self.chance: Final = random.Random(seed)
        self.service: Final = service
        self.codes: Final = write_history(self.chance)
        self.worker_code = self.writer_code = self.codes[0]
        self.has_projections = True
        self.did: Final[Counter[str]] = Counter()

    async def check(self) -> None:
        """Compare what is told with what the read model lacks."""
        await self.until_quiet()
        await check(self.service, self.worker_code)

    async def until_quiet(self) -> None:
        await eventually(self.service.is_quiet, PATIENCE_SECONDS)

    async def traffic(self) -> None:
        """Write a few events, with a release that has the projections in it or without."""
        for _ in range(self.chance.randint(1, 5)):
            await self.append(self.chance.choice(self.writer_code.known))

    async def append(self, about: str) -> None:
        stream = f"s{self.chance.randrange(STREAMS)}"
        name = self.writer_code.stored(about)[-1]
        if self.has_projections:
            publisher = self.writer_code.publisher()
            found = publisher.types.find(name)
            assert found is not None
            await EventStore(self.service.pool, publisher.types).append(stream, [found.cls()])
            if self.writer_code.name == self.service.name:
                self.service.oracle.written(self.writer_code)
        else:
            version = self.writer_code.version(about)
            await self.service.pool.execute(INSERT, stream, name, version)

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
        if how == "dies early":
            await asyncio.gather(self.traffic(), self.service.set_up(code))
            self.service.oracle.started(code, self.service.name)
            await self.traffic()
            await self.take_over(self.worker_code)
            return
        if how == "rolling":
            await asyncio.gather(self.traffic(), self.service.start(code))
            await self.traffic()
            await self.service.stop()
        else:
            if how == "kill":
                await asyncio.gather(self.traffic(), self.service.stop(kill=True))
            else:
                await self.service.stop()
            await self.traffic()
            await self.service.start(code)
        await self.take_over(code)

    async def take_over(self, code: Code) -> None:
        """Have a release run that is started, as one does who reads why it does not."""
        if not await self.service.is_run():
            await self.service.stop_all()
            if code.name != self.service.name:
                self.did["rename"] += 1
                async with session(self.service.dsn) as connection:
                    await accept_renamed(connection, code.name, self.service.name, "clearer")
                self.service.name = code.name
            await self.service.start(code)
        if not await self.service.is_run():
            await self.divide_again(code)
        self.worker_code = self.service.running[-1].code

    async def divide_again(self, code: Code) -> None:
        """Run a release in as many partitions as before, and in its own number once it may be."""
        self.did["partitions"] += 1
        await self.service.stop_all()
        before = replace(code, partitions=await self.service.count_partitions())
        await self.service.start(before)
        await self.until_quiet()
        if (await self.service.status()).block is None:
            await self.service.stop_all()
            await self.service.start(code)
        assert await self.service.is_run()

    async def die_in_setup(self) -> None:
        """Kill a worker of another release at any moment before it runs anything."""
        self.did["dies in setup"] += 1
        code = replace(
            self.chance.choice(self.codes),
            partitions=self.worker_code.partitions,
            name=self.service.name,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(self.chance.uniform(0, MAX_SETUP_SECONDS)):
                await self.service.set_up(code)
        # It is all one transaction, which was committed or was not.
        if await self.service.has_declared(code):
            self.service.oracle.started(code, self.service.name)

    async def start_stranger(self) -> None:
        """Start a worker of another service that has a projection of the same name."""
        self.did["stranger"] += 1
        code = replace(self.chance.choice(self.codes), name=self.service.name)
        setups = await self.service.set_up(code, "another")
        assert "belongs to the service shop" in setups.refused[self.service.name]


INSERT: Final = (
    "INSERT INTO sidecar.events (stream, version, type, schema_version, data) "
    "SELECT $1, 1 + count(*), $2, $3, '{}' FROM sidecar.events WHERE stream = $1"
)
