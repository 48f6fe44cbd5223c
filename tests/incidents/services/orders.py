"""What both services share: their own tables, how they are written, and what is read back."""

from collections import deque
from typing import Any

from sidecar import NO_STREAM, MeteredPool
from sidecar.events.event_log import EventLog
from tests.incidents.services.shop import OrderPlaced

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    cents bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS addresses (customer text PRIMARY KEY, address text NOT NULL);
"""


async def make_tables(dsn: str) -> None:
    """Do what a team's own migrations did before."""
    async with MeteredPool(dsn, min_size=1) as pool:
        await pool.execute(_TABLES)


async def place_order(pool: MeteredPool, store: EventLog, order: OrderPlaced) -> int:
    async with pool.acquire() as connection, connection.transaction():
        number: int = await connection.fetchval(
            "INSERT INTO orders (customer, cents) VALUES ($1, $2) RETURNING number",
            order.customer,
            order.cents,
        )
        await store.append(
            f"order-{number}", [order], expected_version=NO_STREAM, connection=connection
        )
    return number


async def enter_address(pool: MeteredPool, customer: str, address: str) -> None:
    await pool.execute(
        "INSERT INTO addresses VALUES ($1, $2)"
        " ON CONFLICT (customer) DO UPDATE SET address = excluded.address",
        customer,
        address,
    )


async def read_totals(pool: MeteredPool) -> dict[str, int]:
    rows = await pool.fetch("SELECT customer, cents FROM order_totals")
    return {row["customer"]: row["cents"] for row in rows}


async def read_invoices(pool: MeteredPool) -> list[dict[str, Any]]:
    rows = await pool.fetch("SELECT * FROM invoices ORDER BY customer, cents")
    return [dict(row) for row in rows]


class RecentOrders:
    """The last orders that this process took, in its memory: what is only told in process."""

    def __init__(self) -> None:
        self.orders: deque[OrderPlaced] = deque(maxlen=10)

    def can_handle(self, event: object) -> bool:
        return isinstance(event, OrderPlaced)

    async def handle(self, event: OrderPlaced) -> None:
        self.orders.append(event)
