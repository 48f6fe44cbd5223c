"""Set-up of every subscriber before it runs; one that fails or takes long stops no other."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeAlias

from sidecar.errors import (
    ForeignCheckpointError,
    PartitionCountError,
    ProjectionError,
    SharedTableError,
    StoreUnavailableError,
)
from sidecar.postgres.checkpoints.block import Block
from sidecar.postgres.checkpoints.checkpoint import fail_setup, prepare, register
from sidecar.postgres.checkpoints.release import Release
from sidecar.postgres.connection import RawConnection
from sidecar.postgres.lease import is_any_held
from sidecar.postgres.query import sql
from sidecar.postgres.tables.table_claims import require_sole
from sidecar.postgres.transient import is_transient
from sidecar.projections.projection import Subscription

TURN_SECONDS: Final = 5.0
"""After this time a setup goes on beside the next ones."""
RETRY_SECONDS: Final = 1.0
REFUSED_SECONDS: Final = 5.0
"""After this time it is looked again whether a projection may run here by now."""
IDLE_LOOKS: Final = 2
"""Where nobody ran it at so many looks in a row, no worker is about to, and its row says why."""
REFUSALS: Final = (ForeignCheckpointError, PartitionCountError, SharedTableError)

Step: TypeAlias = Callable[[RawConnection, Subscription], Awaitable[None]]

logger = logging.getLogger(__name__)


class Setups:
    """The setups of one worker. Call `register`, then `run` once, and `retry` beside the work.

    Two setups at the same time can conflict, as with `CREATE EXTENSION IF NOT EXISTS`, so they take
    turns across workers. The setup of one projection is never run by two workers at once.

    Attributes:
        ready: Subscriptions that can run by now.
        refused: Why projections must not run here, by name; other workers may run them.

    Args:
        subscriptions: All that this worker is to run.
        open_session: Opens a session that may live as long as a setup takes.
        release: What is declared of them.
        service: The name of the service; None for one without a name.
    """

    def __init__(
        self,
        subscriptions: Iterable[Subscription],
        open_session: Callable[[], AbstractAsyncContextManager[RawConnection]],
        release: Release,
        service: str | None = None,
    ) -> None:
        self.ready: tuple[Subscription, ...] = ()
        self._subscriptions: Final = tuple(subscriptions)
        self._names: Final = frozenset(s.name for s in self._subscriptions)
        self._prepare: Final = partial(prepare, siblings=self._names)
        self._open_session: Final = open_session
        self._release: Final = release
        self._register: Final = partial(register, service=service, handled=release.handled)
        self._fail: Final = partial(fail_setup, service=service, handled=release.handled)
        self.refused: Final[dict[str, str]] = {}
        self._idle_looks: Final[dict[str, int]] = {}
        self._left: list[Subscription] = []
        self._begun_mono: Final[dict[str, float]] = {}
        self._reason = ""

    def ages_seconds(self) -> dict[str, float]:
        """Return for how long each unfinished setup has waited or run."""
        now_mono = time.monotonic()
        return {name: now_mono - begun for name, begun in self._begun_mono.items()}

    async def register(self, connection: RawConnection) -> None:
        """Create the checkpoint rows of each. A subscription without a setup is ready then.

        One that passed over what it handles now is blocked.

        Raises:
            StoreUnavailableError: A transient error; repeat the call.
        """
        self.ready, self._left = (), []
        registered = [
            s for s in self._subscriptions if await self._attempt(connection, s, self._register)
        ]
        await self._compare(connection, [subscription.name for subscription in registered])
        # That two fill one table can only be found once both are registered.
        for subscription in registered:
            if subscription.setup is not None:
                self._left.append(subscription)
            elif await self._attempt(connection, subscription, self._prepare):
                self.ready += (subscription,)

    async def _compare(self, connection: RawConnection, names: Collection[str]) -> None:
        """Compare what is handled with what was passed over."""
        try:
            await self._release.declare(connection, names)
            await self._release.block_missed(connection, names)
        except Exception as error:
            if connection.is_closed() or is_transient(error):
                reason = f"what was passed over was to be counted, and met {type(error).__name__}"
                raise StoreUnavailableError(reason) from error
            raise

    async def register_again(self, connection: RawConnection, names: Collection[str]) -> None:
        """Create deleted checkpoint rows again; a projection whose tables hold rows is blocked.

        Raises:
            StoreUnavailableError: A transient error; repeat the call.
        """
        again = partial(self._register, was_known=True)
        for subscription in self._subscriptions:
            if subscription.name in names and await self._attempt(connection, subscription, again):
                await self._attempt(connection, subscription, self._prepare)

    async def _attempt(
        self, connection: RawConnection, subscription: Subscription, step: Step
    ) -> bool:
        """Run a step; return False, with the error logged and recorded, when that is permanent."""
        try:
            await step(connection, subscription)
        # The edge to user code: a `setup` can raise anything.
        except Exception as error:
            if connection.is_closed() or is_transient(error):
                reason = f"the setup of {subscription.name} met {type(error).__name__}"
                raise StoreUnavailableError(reason) from error
            detail = _describe(error)
            if isinstance(error, REFUSALS):
                self.refused[subscription.name] = detail
            _log_failure(subscription, error)
            block = Block.SHARED_TABLE if isinstance(error, SharedTableError) else None
            await self._fail(connection, subscription, detail, block=block)
            return False
        self.refused.pop(subscription.name, None)
        return True

    async def run(self) -> None:
        """Run all setups; cancelling rolls back those that are running."""
        async with asyncio.TaskGroup() as group:
            for subscription in self._left:
                self._begun_mono[subscription.name] = time.monotonic()
            for subscription in self._left:
                await self._run_in_turn(group, subscription)

    async def _run_in_turn(self, group: asyncio.TaskGroup, subscription: Subscription) -> None:
        task = None
        while task is None:
            try:
                async with self._open_session() as turn:
                    await turn.execute(sql("lock_setups"))
                    task = group.create_task(self._set_up(subscription))
                    await asyncio.wait((task,), timeout=TURN_SECONDS)
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._wait_out(error)
        if not task.done():
            _log_slow(subscription)

    async def _set_up(self, subscription: Subscription) -> None:
        while subscription.name in self._begun_mono:
            try:
                async with self._open_session() as connection:
                    if await self._attempt(connection, subscription, self._prepare):
                        self.ready += (subscription,)
                    seconds = time.monotonic() - self._begun_mono.pop(subscription.name)
            except StoreUnavailableError as error:
                await self._wait_out(error)
            else:
                _log_done(subscription, seconds)

    async def retry(self) -> None:
        """Look again and again whether what was refused may run by now, until cancelled.

        It may once a person has decided, an older worker has come as far as all its partitions, or
        the other owner is gone.
        """
        while True:
            await asyncio.sleep(REFUSED_SECONDS)
            if self.refused:
                try:
                    await self._retry_all()
                # What is wrong with the database by now is told by those who work on it.
                except Exception as error:  # noqa: BLE001
                    await self._wait_out(error)

    async def _retry_all(self) -> None:
        async with self._open_session() as connection:
            await connection.execute(sql("lock_setups"))
            for subscription in self._subscriptions:
                if subscription.name in self.refused:
                    await self._retry(connection, subscription)

    async def _retry(self, connection: RawConnection, subscription: Subscription) -> None:
        name = subscription.name
        try:
            # First of all, for a registration says again what it waits for.
            await require_sole(connection, name, self._names)
            await self._register(connection, subscription)
        except REFUSALS as error:
            await self._refuse_again(connection, subscription, error)
            return
        await self._compare(connection, [name])
        self.refused.pop(name)
        if await self._attempt(connection, subscription, self._prepare):
            self.ready += (subscription,)

    async def _refuse_again(
        self, connection: RawConnection, subscription: Subscription, error: ProjectionError
    ) -> None:
        """Say why it does not run; in its row as well, where nobody runs it any more."""
        name = subscription.name
        if self.refused[name] != str(error):
            self.refused[name] = str(error)
            _log_failure(subscription, error)
        stored = await connection.fetch(sql("list_runnable"))
        rows = [row for row in stored if (row["projection"], row["copy"]) == (name, "live")]
        is_held = await is_any_held(connection, name, rows)
        looks = 0 if is_held else self._idle_looks.get(name, 0) + 1
        self._idle_looks[name] = looks
        if looks == IDLE_LOOKS:
            await self._fail(connection, subscription, str(error))

    async def _wait_out(self, error: Exception) -> None:
        """Wait before the next attempt, and log each reason once."""
        reason = str(error) if isinstance(error, StoreUnavailableError) else type(error).__name__
        if reason != self._reason:
            self._reason = reason
            logger.warning(
                "Waiting for the database: %s", reason, extra={"event": "sidecar.worker.waits"}
            )
        await asyncio.sleep(RETRY_SECONDS)


def _describe(error: Exception) -> str:
    if isinstance(error, ProjectionError):
        return str(error)
    return f"its setup failed with {type(error).__name__}; mend it and start the worker again"


def _log_failure(subscription: Subscription, error: Exception) -> None:
    logger.error(
        "%s %s cannot run here: %s. The others go on",
        subscription.kind.capitalize(),
        subscription.name,
        _describe(error).rstrip("."),
        exc_info=error,
        extra={
            "event": "sidecar.setup.failed",
            "projection": subscription.name,
            "error_type": type(error).__name__,
        },
    )


def _log_slow(subscription: Subscription) -> None:
    logger.warning(
        "The setup of %s %s takes longer than %g s, or waits for that of another worker; it runs "
        "here once that is done. The others go on",
        subscription.kind,
        subscription.name,
        TURN_SECONDS,
        extra={"event": "sidecar.setup.slow", "projection": subscription.name},
    )


def _log_done(subscription: Subscription, seconds: float) -> None:
    logger.log(
        logging.INFO if seconds > TURN_SECONDS else logging.DEBUG,
        "The setup of %s %s is over after %.0f s",
        subscription.kind,
        subscription.name,
        seconds,
        extra={"event": "sidecar.setup.over", "projection": subscription.name},
    )
