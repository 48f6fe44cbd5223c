"""Filling a new copy of a read model, and asking for the swap once it has caught up."""

import logging
import time
from typing import Final, Protocol

from sidecar.errors import ProjectionError, RebuildStrayedError
from sidecar.projections.delivery import EventFailedError
from sidecar.projections.failure_handler import FailureHandler, HaltError
from sidecar.projections.observer import Action
from sidecar.projections.ports import ProjectionStore, Transaction
from sidecar.projections.projection import Partition
from sidecar.projections.runner import IDLE_SECONDS, Runner

SWAP_RETRY_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)


class RebuildStore(ProjectionStore, Protocol):
    """What a rebuild needs besides."""

    async def halt(self, partition: Partition, reason: str) -> None:
        """Stop a rebuild until somebody takes it up again; the live copy goes on."""

    async def count_discarded(self, projection: str) -> int:
        """Return how many events people gave up, which a rebuild passes over."""

    async def swap(self, projection: str) -> bool:
        """Swap the new copy in; False when that has to be tried again.

        Raises:
            ProjectionError: That can never be done.
        """


class RebuildHaltedError(HaltError):
    """Carries the failure that stopped a rebuild out of its transaction."""

    def __init__(self, failure: EventFailedError) -> None:
        record, error_type = failure.delivery.record, type(failure.cause).__name__
        super().__init__(
            f"{error_type} at position {record.position} ({record.type}, {record.stream})"
        )
        self.error_type = error_type


class Halting(FailureHandler):
    """Parks nothing: a new copy must have no holes."""

    giving_up = Action.HALT
    puts_off = False

    async def give_up(
        self,
        transaction: Transaction,  # noqa: ARG002 - the live copy needs it
        failure: EventFailedError,
        attempt: int,  # noqa: ARG002 - likewise
    ) -> None:
        """Leave the transaction with the failure."""
        raise RebuildHaltedError(failure) from failure


class Rebuilder(Runner):
    """A runner for the copy `rebuild`."""

    failure_handler_type = Halting
    _store: RebuildStore
    _swap_due_mono = 0.0

    async def _turn(self) -> None:
        try:
            await super()._turn()
        except RebuildHaltedError as halted:
            await self._halt(str(halted), halted.error_type)
        except RebuildStrayedError as strayed:
            await self._halt(str(strayed), type(strayed).__name__)
        except ProjectionError as error:
            await self._halt(str(error).rstrip("."), type(error).__name__)

    async def _retry_letters(self) -> None:
        """Leave them to the live copy."""

    async def _wait(self) -> None:
        if self._cursor.is_ahead:
            await self._applier.pass_over(self._cursor.seen)
        if await self._try_swap():
            discarded = await self._store.count_discarded(self.partition.projection)
            logger.info(
                "The rebuilt copy of projection %s took over; %d discarded event(s) passed over",
                self.partition.projection,
                discarded,
                extra={
                    "event": "sidecar.rebuild.swapped",
                    "projection": self.partition.projection,
                    "discarded": discarded,
                },
            )
            self.stop()
        else:
            await self._head.wait_beyond(self._cursor.seen, SWAP_RETRY_SECONDS)

    async def _try_swap(self) -> bool:
        # While it waits for the tables, newcomers wait behind it: never more often than this,
        # however fast events come.
        if time.monotonic() < self._swap_due_mono:
            return False
        swapped = await self._store.swap(self.partition.projection)
        self._swap_due_mono = time.monotonic() + SWAP_RETRY_SECONDS
        return swapped

    async def _halt(self, reason: str, error_type: str) -> None:
        await self._store.halt(self.partition, reason)
        self._cursor.forget()
        logger.critical(
            "The rebuild of projection %s stopped: %s. The live copy goes on. Once that is mended, "
            "take it up again with `sidecar projections rebuild %s`",
            self.partition.projection,
            reason,
            self.partition.projection,
            extra={
                "event": "sidecar.rebuild.halted",
                "projection": self.partition.projection,
                "error_type": error_type,
            },
        )
        await self.rest(IDLE_SECONDS)
