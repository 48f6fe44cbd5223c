"""The demo's shop goes on when the log no longer has an order that it remembers."""

from sidecar.demo.shop import types
from sidecar.demo.till import Till
from sidecar.events.publisher import EventPublisher
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.postgres.store import EventStore
from sidecar.process.lifecycle import Shutdown
from tests.beside import beside
from tests.postgres.eventually import eventually

SHIPPED = "SELECT count(*) >= 3 FROM sidecar.events WHERE type = 'OrderShipped'"


async def test_orders_that_a_restore_took_away_do_not_end_the_shop(database: str) -> None:
    shutdown = Shutdown()
    async with MeteredPool(database, name="shop", min_size=1, max_size=4) as pool:
        store = EventStore(pool, types)
        till = Till(store, EventPublisher(types), rate=200.0, poison_every_seconds=0.0)

        async def are_shipped() -> bool:
            return bool(await pool.fetchval(SHIPPED))

        async with beside(till.run(shutdown)) as selling:
            await eventually(are_shipped)
            await pool.execute("DELETE FROM sidecar.events")
            await eventually(are_shipped)
            shutdown.request()
            await selling
