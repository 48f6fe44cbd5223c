"""The numbers of one pool, read from memory, without any I/O."""

from sidecar.postgres.connection import RawPool
from sidecar.postgres.pool_usage import PoolObserver, PoolUsage


class PoolCounts:
    """Numbers of a counted pool; its own count of connections in use is the truth.

    Attributes:
        name: The pool's name in metrics.
        leak_limit_seconds: How long a connection may be checked out before it counts as a leak.
        usage: Who waits for its connections, and who has them.
    """

    name: str
    leak_limit_seconds: float
    usage: PoolUsage
    _pool: RawPool

    @property
    def observer(self) -> PoolObserver | None:
        """Receives every duration."""
        return self.usage.observer

    @observer.setter
    def observer(self, observer: PoolObserver | None) -> None:
        self.usage.observer = observer

    @property
    def used(self) -> int:
        """Connections checked out."""
        # A connection that is being returned may be checked out again before that is recorded.
        return min(self.usage.checked_out, self._pool.get_size())

    @property
    def idle(self) -> int:
        """Open connections that are not in use."""
        return max(self._pool.get_size() - self.usage.checked_out, 0)

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
        """For how long the caller that waits longest has waited; 0.0 when none waits."""
        return self.usage.oldest_wait_seconds

    @property
    def leaks(self) -> int:
        """Connections that are checked out for longer than the limit now."""
        return len(self.usage.overdue(self.leak_limit_seconds))

    def keep_stacks(self) -> None:
        """Remember from now on where each connection is taken, to be logged when it leaks."""
        self.usage.keeps_stacks = True
