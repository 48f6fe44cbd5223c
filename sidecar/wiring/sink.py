"""The sink as applications make it: it knows the secrets of their environment."""

from sidecar.events.types import EventTypes
from sidecar.postgres.dead_letters.dead_letter_sink import (
    PostgresDeadLetterSink,
    StreamOf,
    stream_of,
)
from sidecar.postgres.pools.pool import MeteredPool
from sidecar.telemetry.redaction import Redact
from sidecar.wiring.boot import redact_environment


class DeadLetterSink(PostgresDeadLetterSink):
    """Keeps what projections failed on when a service publishes right after its commit.

    Between the commit and the end of `publish` a crash still loses the event for the read models;
    only `sidecar run`, which follows the log itself, closes that window.

    Args:
        pool: Lends connections; the caller closes it.
        types: Registered event types; an event of another type is kept without its data, and can
            be looked at and discarded, not retried.
        redact: Masks secrets in what is kept of an error; by default those of the environment, as
            it is read now.
        find_stream: Names the sequence that retries keep in order. Where it fails, that is the
            event's class.
        schema: Schema of the sidecar's tables; that of SIDECAR_SCHEMA by default.
    """

    def __init__(
        self,
        pool: MeteredPool,
        types: EventTypes,
        *,
        redact: Redact | None = None,
        find_stream: StreamOf = stream_of,
        schema: str | None = None,
    ) -> None:
        super().__init__(
            pool,
            types,
            redact=redact or redact_environment(),
            find_stream=find_stream,
            schema=schema,
        )
