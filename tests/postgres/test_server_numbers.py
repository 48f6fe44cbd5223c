"""What the server says of itself becomes a metric by the name of its column."""

import asyncio

from sidecar.postgres.samples.sample import sample_server
from sidecar.telemetry import metric
from sidecar.wiring.state_metrics import SERVER_METRICS
from tests.postgres.stage import session


async def test_each_column_has_a_metric_of_its_name(database: str) -> None:
    async with session(database) as connection:
        numbers = await sample_server(connection)
    assert numbers.keys() <= SERVER_METRICS.keys()
    assert SERVER_METRICS["oldest_transaction"] is metric.OLDEST_TRANSACTION


async def test_the_oldest_open_transaction_is_that_of_another_session(database: str) -> None:
    async with session(database) as watching, session(database) as other:
        async with watching.transaction():
            assert (await sample_server(watching))["oldest_transaction"] == 0
        async with other.transaction():
            await other.execute("SELECT 1")
            await asyncio.sleep(0.2)
            assert 0.2 <= (await sample_server(watching))["oldest_transaction"] < 60
        assert (await sample_server(watching))["oldest_transaction"] == 0
