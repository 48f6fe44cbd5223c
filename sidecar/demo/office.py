"""The shop's back office: counts orders in the read model and adds missing shipping rates."""

from typing import Final

from sidecar.postgres.connection import RawConnection, connect
from sidecar.postgres.dead_letters.dead_letter import request_retry
from sidecar.postgres.schema import qualify
from sidecar.postgres.transient import is_transient

_COUNT: Final = "SELECT coalesce(sum(orders), 0) FROM order_totals"
_FORGOTTEN: Final = """
INSERT INTO shipping_rates
SELECT DISTINCT e.data ->> 'country', 9900
FROM sidecar.dead_letters d
JOIN sidecar.events e ON e.position = d.position
WHERE d.resolution IS NULL AND d.projection = 'shipping_labels' AND d.retry_at IS NULL
  AND e.type = 'OrderPlaced'
  AND d.first_failed_at < clock_timestamp() - make_interval(secs => $1::float8)
ON CONFLICT DO NOTHING
RETURNING country
"""


class Office:
    """Works on one connection, and opens another when that is lost.

    Attributes:
        orders: In the read model, as last counted.
    """

    def __init__(self, dsn: str, cure_seconds: float) -> None:
        self.orders = 0
        self._dsn = dsn
        self._cure_seconds = cure_seconds
        self._connection: RawConnection | None = None

    async def work(self) -> list[str]:
        """Count orders, add missing rates, request a retry; return countries with a new rate."""
        try:
            connection = await self._connect()
            self.orders = int(await connection.fetchval(_COUNT))
            rows = await connection.fetch(qualify(_FORGOTTEN), self._cure_seconds)
            if rows:
                await request_retry(connection, projection="shipping_labels")
        except Exception as error:
            # Before the first worker is up, and while the server is away, there is nothing to do.
            if not _is_expected(error):
                raise
            self.close()
            return []
        return [row["country"] for row in rows]

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connect(self) -> RawConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, application_name="shop office")
        return self._connection


def _is_expected(error: Exception) -> bool:
    undefined_table = "42P01"
    return is_transient(error) or getattr(error, "sqlstate", None) == undefined_table
