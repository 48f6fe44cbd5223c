"""The numbers of one pool, whoever made it: read from memory, without any I/O."""

from sidecar.postgres.connection import RawPool
from sidecar.postgres.leak import count_leaks
from sidecar.postgres.pool_usage import PoolUsage


class PoolCounts:
    """What a counted pool tells; its own count of connections in use is the truth."""

    name: str
    leak_limit_seconds: float
    usage: PoolUsage
    _pool: RawPool

    @property
    def used(self) -> int:
        """Connections in somebody's hands."""
        # A connection that is being given back may be lent again a moment before that is known.
        return min(self.usage.held, self._pool.get_size())

    @property
    def idle(self) -> int:
        """Open connections that nobody uses."""
        return max(self._pool.get_size() - self.usage.held, 0)

    @property
    def pending(self) -> int:
        """Callers that wait for a connection now."""
        return self.usage.pending

    @property
    def timeouts(self) -> int:
        """Callers that gave up waiting, since the pool was made."""
        return self.usage.timeouts

    @property
    def closed(self) -> int:
        """Connections closed, since the pool was made."""
        return self.usage.closed

    @property
    def oldest_wait_seconds(self) -> float:
        """For how long the caller that waits longest has waited."""
        return self.usage.oldest_wait_seconds

    @property
    def leaks(self) -> int:
        """Connections held for longer than the limit now."""
        return count_leaks(self)
