"""Every metric, span and attribute name: the only place in code where they are spelled."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SCOPE: Final = "sidecar"
SYSTEM: Final = "sidecar"
"""The value of `messaging.system`; the conventions have no member for an event store."""
SEND: Final = "send"
"""The value of `messaging.operation.type` for an append."""

APPLICATION_NAME: Final = "application_name"
CAUSE: Final = "cause"
CHECK: Final = "check"
EVENT_TYPE: Final = "event_type"
ACTION: Final = "action"
ERROR_TYPE: Final = "error.type"
FINDING_ID: Final = "id"
HANDLER: Final = "handler"
OUTCOME: Final = "outcome"
PART: Final = "part"
PROJECTION: Final = "projection"
REASON: Final = "reason"
SEVERITY: Final = "severity"
SIGNAL: Final = "signal"
STATE: Final = "state"
STATUS: Final = "status"
TARGET: Final = "target"
VERSION: Final = "version"
WORKER: Final = "worker"
POOL_NAME: Final = "db.client.connection.pool.name"
POOL_STATE: Final = "db.client.connection.state"
CONSUMER_GROUP: Final = "messaging.consumer.group.name"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGING_SYSTEM: Final = "messaging.system"
BATCH_COUNT: Final = "messaging.batch.message_count"
LINKS_DROPPED: Final = "sidecar.links.dropped"
SPAN_SUBSCRIBER: Final = "sidecar.subscriber.name"
SPAN_POSITION: Final = "sidecar.position"
SPAN_ACTION: Final = "sidecar.failure.action"
SPAN_ATTEMPT: Final = "sidecar.attempt"

DURATION_BOUNDS_SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Explicit, because the SDK's own bounds suit milliseconds."""


class Kind(StrEnum):
    """Instrument kinds as OpenTelemetry registries spell them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    UP_DOWN_COUNTER = "updowncounter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric: its unit is UCUM, its attributes are all that it may ever carry."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """The name of the family or, for a counter, of its samples."""
        name = self.name.replace(".", "_")
        if self.unit == "s" and not name.endswith("_seconds"):
            name += "_seconds"
        return f"{name}_total" if self.kind is Kind.COUNTER else name


LAG_EVENTS: Final = Instrument(
    "sidecar.projection.lag.events",
    Kind.GAUGE,
    "{event}",
    "Events between a projection's checkpoint and the safe head.",
    (PROJECTION,),
)
LAG: Final = Instrument(
    "sidecar.projection.lag",
    Kind.GAUGE,
    "s",
    "Age of the oldest event that a projection has not processed; 0 when caught up.",
    (PROJECTION,),
)
PROJECTION_STATUS: Final = Instrument(
    "sidecar.projection.status",
    Kind.GAUGE,
    "{state}",
    "1 for the status that a projection's live copy is in, 0 for the others.",
    (PROJECTION, STATUS),
)
PROJECTION_REBUILD: Final = Instrument(
    "sidecar.projection.rebuild",
    Kind.GAUGE,
    "{state}",
    "1 for how a projection's rebuild goes, 0 for the others.",
    (PROJECTION, STATUS),
)
DEAD_LETTERS: Final = Instrument(
    "sidecar.dead_letters",
    Kind.GAUGE,
    "{event}",
    "Events that a projection could not apply and that wait for a decision.",
    (PROJECTION,),
)
PASSED_OVER: Final = Instrument(
    "sidecar.projection.passed_over.events",
    Kind.GAUGE,
    "{event}",
    "Events below a projection's checkpoint that a release which does not handle them passed over.",
    (PROJECTION,),
)
PARKED_STREAMS: Final = Instrument(
    "sidecar.parked_streams",
    Kind.GAUGE,
    "{stream}",
    "Streams whose later events queue behind a dead letter.",
    (PROJECTION,),
)
CAUSES: Final = Instrument(
    "sidecar.cause",
    Kind.GAUGE,
    "{cause}",
    "1 for why PostgreSQL cannot be used; no series while it can.",
    (CAUSE,),
)
CHECK_STATUS: Final = Instrument(
    "sidecar.check.status",
    Kind.GAUGE,
    "{state}",
    "1 for the outcome that a check has, 0 for the others.",
    (CHECK, STATUS),
)
CHECK_TRANSITIONS: Final = Instrument(
    "sidecar.check.transitions",
    Kind.COUNTER,
    "{transition}",
    "Times that a check changed to an outcome.",
    (CHECK, STATUS),
)
CONFIG_FINDINGS: Final = Instrument(
    "sidecar.config.findings",
    Kind.GAUGE,
    "{finding}",
    "Findings of the configuration rules.",
    (FINDING_ID, SEVERITY),
)
SAFE_HEAD: Final = Instrument(
    "sidecar.store.safe_head.position",
    Kind.GAUGE,
    "{position}",
    "Highest position below which no event can still appear.",
)
HEAD: Final = Instrument(
    "sidecar.store.head.position",
    Kind.GAUGE,
    "{position}",
    "Highest position in the event store.",
)
HOLD_DURATION: Final = Instrument(
    "sidecar.store.hold.duration",
    Kind.GAUGE,
    "s",
    "How long the safe head has been held at a gap; 0 when it is free.",
)
SKIPPED_POSITIONS: Final = Instrument(
    "sidecar.store.skipped_positions",
    Kind.GAUGE,
    "{position}",
    "Positions recorded as never to be filled.",
)
STORE_UNSAFE: Final = Instrument(
    "sidecar.store.unsafe",
    Kind.GAUGE,
    "{state}",
    "1 while projections could miss events by the positions handed out, else 0.",
)
WORKER_RESTARTS: Final = Instrument(
    "sidecar.worker.restarts",
    Kind.COUNTER,
    "{restart}",
    "Times that a worker was started again.",
    (WORKER, REASON),
)
READY: Final = Instrument(
    "sidecar.ready", Kind.GAUGE, "{state}", "1 while traffic may come, else 0."
)
DRAINING: Final = Instrument(
    "sidecar.draining", Kind.GAUGE, "{state}", "1 while the process is shutting down, else 0."
)
AGENT_SCRAPE_FAILURES: Final = Instrument(
    "sidecar.agent.scrape.failures",
    Kind.COUNTER,
    "{failure}",
    "Times that an agent could not be read.",
    (TARGET,),
)
AGENT_FAILURES: Final = Instrument(
    "sidecar.agent.failures",
    Kind.COUNTER,
    "{failure}",
    "Times that an agent could not do a part of its work; its process went on without.",
    (PART,),
)
BUILD_INFO: Final = Instrument(
    "sidecar.build.info", Kind.GAUGE, "{build}", "1, with the version that runs.", (VERSION,)
)
LOOP_LAG: Final = Instrument(
    "sidecar.loop.lag", Kind.GAUGE, "s", "How late the process's event loop woke up last."
)
HEARTBEAT: Final = Instrument(
    "sidecar.projection.heartbeat.timestamp",
    Kind.GAUGE,
    "s",
    "Unix time of a projection's last completed poll.",
    (PROJECTION,),
)
PROGRESS: Final = Instrument(
    "sidecar.projection.progress.timestamp",
    Kind.GAUGE,
    "s",
    "Unix time at which a projection's checkpoint last moved.",
    (PROJECTION,),
)
PROJECTION_FAILURES: Final = Instrument(
    "sidecar.projection.failures",
    Kind.COUNTER,
    "{failure}",
    "Failures of projections, by what was done about them.",
    (PROJECTION, ERROR_TYPE, ACTION),
)
PROJECTION_EVENTS: Final = Instrument(
    "sidecar.projection.events",
    Kind.COUNTER,
    "{event}",
    "Events that a projection applied.",
    (PROJECTION,),
)
EVENTS_PUBLISHED: Final = Instrument(
    "sidecar.events.published",
    Kind.COUNTER,
    "{event}",
    "Events handed to the publisher.",
    (EVENT_TYPE,),
)
HANDLER_EVENTS: Final = Instrument(
    "sidecar.handler.events",
    Kind.COUNTER,
    "{event}",
    "Events that a handler handled.",
    (HANDLER,),
)
HANDLER_FAILURES: Final = Instrument(
    "sidecar.handler.failures",
    Kind.COUNTER,
    "{failure}",
    "Failures of handlers for good; a retry is not counted.",
    (HANDLER, ERROR_TYPE),
)
PUBLISH_DURATION: Final = Instrument(
    "sidecar.publish.duration",
    Kind.HISTOGRAM,
    "s",
    "How long a publish took, all of its subscribers included.",
)
PROCESS_DURATION: Final = Instrument(
    "messaging.process.duration",
    Kind.HISTOGRAM,
    "s",
    "How long a projection took for one batch.",
    (CONSUMER_GROUP, OPERATION_NAME, ERROR_TYPE),
)
TELEMETRY_DROPPED: Final = Instrument(
    "sidecar.telemetry.dropped",
    Kind.COUNTER,
    "{item}",
    "Telemetry lost because its queue was full or its receiver failed.",
    (SIGNAL,),
)
POOL_COUNT: Final = Instrument(
    "db.client.connection.count",
    Kind.UP_DOWN_COUNTER,
    "{connection}",
    "Connections of a pool, by state.",
    (POOL_NAME, POOL_STATE),
)
POOL_MAX: Final = Instrument(
    "db.client.connection.max",
    Kind.UP_DOWN_COUNTER,
    "{connection}",
    "Connections that a pool may open.",
    (POOL_NAME,),
)
POOL_PENDING: Final = Instrument(
    "db.client.connection.pending_requests",
    Kind.UP_DOWN_COUNTER,
    "{request}",
    "Requests that wait for a connection.",
    (POOL_NAME,),
)
POOL_TIMEOUTS: Final = Instrument(
    "db.client.connection.timeouts",
    Kind.COUNTER,
    "{timeout}",
    "Requests that gave up waiting for a connection.",
    (POOL_NAME,),
)
POOL_WAIT_TIME: Final = Instrument(
    "db.client.connection.wait_time",
    Kind.HISTOGRAM,
    "s",
    "How long a request waited for a connection, by how that ended.",
    (POOL_NAME, OUTCOME),
)
POOL_USE_TIME: Final = Instrument(
    "db.client.connection.use_time",
    Kind.HISTOGRAM,
    "s",
    "How long a connection was held.",
    (POOL_NAME,),
)
POOL_CREATE_TIME: Final = Instrument(
    "db.client.connection.create_time",
    Kind.HISTOGRAM,
    "s",
    "How long opening a connection took.",
    (POOL_NAME,),
)
POOL_CLOSED: Final = Instrument(
    "sidecar.pool.closed",
    Kind.COUNTER,
    "{connection}",
    "Connections of a pool that were closed, by whichever side.",
    (POOL_NAME,),
)
POOL_WAIT_OLDEST: Final = Instrument(
    "sidecar.pool.wait.oldest",
    Kind.GAUGE,
    "s",
    "How long the request that waits longest has waited; 0 when none waits.",
    (POOL_NAME,),
)
POOL_LEAKS: Final = Instrument(
    "sidecar.pool.leaks",
    Kind.GAUGE,
    "{connection}",
    "Connections held for longer than the pool's limit.",
    (POOL_NAME,),
)
SERVER_CONNECTIONS: Final = Instrument(
    "sidecar.server.connections",
    Kind.GAUGE,
    "{connection}",
    "Sessions at the database server, as pg_stat_activity shows them.",
    (APPLICATION_NAME, STATE),
)


@dataclass(frozen=True, slots=True)
class SpanShape:
    """One span: its name is the operation, a space, and the event type or projection."""

    operation: str
    kind: str
    attributes: tuple[str, ...]


PUBLISH_SPAN: Final = SpanShape(
    "publish", "internal", (MESSAGING_SYSTEM, OPERATION_NAME, EVENT_TYPE, ERROR_TYPE)
)
PROCESS_SPAN: Final = SpanShape(
    "process",
    "consumer",
    (
        *(MESSAGING_SYSTEM, OPERATION_NAME, CONSUMER_GROUP),
        *(BATCH_COUNT, LINKS_DROPPED, ERROR_TYPE),
    ),
)
APPEND_SPAN: Final = SpanShape(
    "append",
    "producer",
    (
        *(MESSAGING_SYSTEM, OPERATION_NAME, OPERATION_TYPE, DESTINATION, EVENT_TYPE),
        *(BATCH_COUNT, SPAN_POSITION, ERROR_TYPE),
    ),
)
SPANS: Final = (APPEND_SPAN, PUBLISH_SPAN, PROCESS_SPAN)

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    *(LAG_EVENTS, LAG, PROJECTION_STATUS, PROJECTION_REBUILD, DEAD_LETTERS),
    *(PARKED_STREAMS, PASSED_OVER),
    *(CAUSES, CHECK_STATUS, CHECK_TRANSITIONS, CONFIG_FINDINGS, READY, DRAINING),
    *(SAFE_HEAD, HEAD, HOLD_DURATION, SKIPPED_POSITIONS, STORE_UNSAFE),
    *(WORKER_RESTARTS, AGENT_SCRAPE_FAILURES, AGENT_FAILURES),
    *(BUILD_INFO, LOOP_LAG, TELEMETRY_DROPPED),
    *(HEARTBEAT, PROGRESS, PROJECTION_FAILURES, PROJECTION_EVENTS, PROCESS_DURATION),
    *(EVENTS_PUBLISHED, HANDLER_EVENTS, HANDLER_FAILURES, PUBLISH_DURATION),
    *(POOL_COUNT, POOL_MAX, POOL_PENDING, POOL_TIMEOUTS),
    *(POOL_WAIT_TIME, POOL_USE_TIME, POOL_CREATE_TIME),
    *(POOL_CLOSED, POOL_WAIT_OLDEST, POOL_LEAKS, SERVER_CONNECTIONS),
)
