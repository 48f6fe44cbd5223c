"""The `eventsourcing` library keeping the same read model, as its documentation shows it."""

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from tests.benchmarks.measure import require_equal
from tests.benchmarks.place import session
from tests.benchmarks.shop import CUSTOMERS, create_totals

EVENTS: Final = 2000
APPEND_EVENTS: Final = 500
TABLE: Final = "peer_totals"
UPSERT: Final = SQL(
    "INSERT INTO peer_totals (customer, orders, cents) VALUES (%s, 1, %s)"
    " ON CONFLICT (customer) DO UPDATE SET orders = peer_totals.orders + 1,"
    " cents = peer_totals.cents + excluded.cents"
)


class Order(Aggregate):
    """One order: one event."""

    @event("Placed")
    def __init__(self, customer: str, cents: int, note: str) -> None:
        self.customer = customer
        self.cents = cents
        self.note = note


class Orders(Application[Any]):
    """The library's event store, with one method that fills it."""

    def place(self, first: int, count: int) -> None:
        """Save so many orders in one transaction."""
        self.save(
            *(
                Order(f"customer-{n % CUSTOMERS}", 100 + n % 9900, "x" * 100)
                for n in range(first, first + count)
            )
        )


class TotalsView(PostgresTrackingRecorder):
    """The read model's table; its row and the library's tracking are one transaction."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self.sql_create_statements.append(SQL(create_totals(TABLE)).format())

    def add(self, customer: str, cents: int, tracking: Tracking) -> None:
        """Count one order."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(UPSERT, (customer, cents), prepare=True)
            self._insert_tracking(cursor, tracking)


class PeerTotals(Projection[TotalsView]):
    """Orders and money per customer."""

    applied: ClassVar[int]
    finished: ClassVar[threading.Event]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Apply one event and tell when it was the last."""
        self.view.add(domain_event.customer, domain_event.cents, tracking)
        PeerTotals.applied += 1
        if PeerTotals.applied == EVENTS:
            PeerTotals.finished.set()


@dataclass(frozen=True, slots=True)
class Peer:
    """The library on a database of its own."""

    dsn: str
    environ: Mapping[str, str]

    @classmethod
    async def create(cls, dsn: str) -> "Peer":
        """Fill the library's own event store."""
        peer = cls(dsn, _environ_of(dsn))
        await asyncio.to_thread(peer._fill)
        return peer

    @property
    def name(self) -> str:
        """Which library, and which of psycopg's two implementations it runs on."""
        return (
            f"eventsourcing {version('eventsourcing')}, psycopg {version('psycopg')} "
            f"({psycopg.pq.__impl__})"
        )

    async def follow(self) -> float:
        """Let its ProjectionRunner catch up and return the rate."""
        async with session(self.dsn) as connection:
            await connection.execute(
                f"DROP TABLE IF EXISTS {TABLE}; DROP TABLE IF EXISTS peertotals_tracking"
            )
        rate = await asyncio.to_thread(self._follow)
        async with session(self.dsn) as connection:
            orders = await connection.fetchval(f"SELECT sum(orders)::bigint FROM {TABLE}")
        require_equal(orders, EVENTS, f"orders counted in {TABLE}")
        return rate

    def _fill(self) -> None:
        with Orders(self.environ) as orders:
            for first in range(0, EVENTS, APPEND_EVENTS):
                orders.place(first, APPEND_EVENTS)

    def _follow(self) -> float:
        PeerTotals.applied = 0
        PeerTotals.finished = threading.Event()
        began = time.perf_counter()
        with ProjectionRunner(
            application_class=Orders,
            projection_class=PeerTotals,
            view_class=TotalsView,
            env=self.environ,
        ) as runner:
            while not PeerTotals.finished.wait(1.0):
                # Raises what stopped its thread, if anything did.
                runner.run_forever(timeout=0)
            seconds = time.perf_counter() - began
        return EVENTS / seconds


def _environ_of(dsn: str) -> dict[str, str]:
    parts = urlsplit(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": parse_qs(parts.query)["host"][0],
        "POSTGRES_PORT": "5432",
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "unused",
    }
