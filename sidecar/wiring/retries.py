"""Dead letters of in-process publishing: whether they can be kept, and their retries."""

import asyncio
import logging
from typing import Final

from sidecar.errors import MigrationError, StoreRefusedError, StoreUnavailableError
from sidecar.events.publisher import EventPublisher
from sidecar.health.check import Check
from sidecar.health.outcome import CheckResult, failed, passed
from sidecar.postgres.dead_letters.dead_letter_sink import PostgresDeadLetterSink

PAUSE_SECONDS: Final = 1.0
CHECK_NAME: Final = "dead-letter-sink"

logger = logging.getLogger(__name__)


class Retries:
    """Takes up what people ask to be retried; the projections' code runs here, in its service.

    Attributes:
        trouble: Why nothing can be kept, with the cure; empty while all is well, or out of reach.
    """

    def __init__(self, publisher: EventPublisher, sink: PostgresDeadLetterSink) -> None:
        self.trouble = ""
        self._publisher: Final = publisher
        self._sink: Final = sink
        self._has_place = False

    async def run(self) -> None:
        """Retry what is due every second, until cancelled; wait while there is no place for it."""
        while True:
            try:
                await self._step()
            except StoreUnavailableError:
                pass
            except (MigrationError, StoreRefusedError) as error:
                self._has_place = False
                self._tell(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    def check(self) -> Check:
        """Can failures be kept?"""

        async def ask() -> CheckResult:
            if self.trouble:
                return failed(f"{CHECK_NAME}.not-ready", detail=self.trouble)
            return passed()

        return Check(name=CHECK_NAME, run=ask, critical=False, fail_after=1, recover_after=1)

    async def _step(self) -> None:
        if not self._has_place:
            await self._sink.require_place()
            self._has_place, self.trouble = True, ""
        try:
            await self._sink.retry_due(self._publisher)
        except StoreRefusedError:
            # Where a right is missing, this says which one.
            await self._sink.require_place()
            raise

    def _tell(self, trouble: str) -> None:
        """Log each trouble once."""
        if trouble != self.trouble:
            self.trouble = trouble
            logger.error("%s", trouble, extra={"event": "sidecar.letters.no_place"})
