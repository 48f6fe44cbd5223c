"""Every metric: what it is called, what it measures, which attributes it may carry."""

from typing import Final

from sidecar.telemetry import attribute
from sidecar.telemetry.emitter import Emitter, Instrument

DURATION_BOUNDS_SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Explicit, because the SDK's own bounds suit milliseconds."""

PROBE: Final = Emitter(("probe",))
_working: Final = Emitter(("worker", "app"))
_every: Final = Emitter(("probe", "worker", "app"))
_of_projection: Final = PROBE.of(attribute.PROJECTION)
_of_check: Final = PROBE.of(attribute.CHECK, attribute.CHECK_OUTCOME)
_of_loop: Final = _working.of(attribute.PROJECTION)
_of_pool: Final = _working.of(attribute.POOL_NAME)

# Projections, as the probe process reads them from the database.
LAG_EVENTS: Final = _of_projection.gauge(
    "sidecar.projection.lag.events",
    "{event}",
    "Events between a projection's checkpoint and the safe head.",
)
LAG: Final = _of_projection.gauge(
    "sidecar.projection.lag",
    "s",
    "Age of the oldest event that a projection has not processed; 0 when caught up.",
)
PROJECTION_STATUS: Final = _of_projection.gauge(
    "sidecar.projection.status",
    "{state}",
    "1 for the status that a projection's live copy is in, 0 for the others.",
    attribute.PROJECTION_STATE,
)
PROJECTION_REBUILD: Final = _of_projection.gauge(
    "sidecar.projection.rebuild",
    "{state}",
    "1 for how a projection's rebuild goes, 0 for the others.",
    attribute.REBUILD_STATE,
)
DEAD_LETTERS: Final = _of_projection.gauge(
    "sidecar.dead_letters",
    "{event}",
    "Events that a projection could not apply and that wait for a decision.",
)
PARKED_STREAMS: Final = _of_projection.gauge(
    "sidecar.parked_streams", "{stream}", "Streams whose later events queue behind a dead letter."
)
PASSED_OVER: Final = _of_projection.gauge(
    "sidecar.projection.passed_over.events",
    "{event}",
    "Events below a projection's checkpoint that a release which does not handle them passed over.",
)
DELETED_DEAD_LETTERS: Final = _of_projection.gauge(
    "sidecar.dead_letters.deleted",
    "{event}",
    "Dead letters that were deleted from their table before they were settled; 0 once that is.",
)
DRIFT_ROWS: Final = _of_projection.gauge(
    "sidecar.projection.drift.rows",
    "{row}",
    "Rows of a read model that were not as a replay of the log has them when it was last verified.",
)
LOST_TABLES: Final = _of_projection.gauge(
    "sidecar.projection.lost.tables",
    "{table}",
    "Tables of a read model that somebody else emptied, or dropped and made again.",
)
INTERRUPTION: Final = _of_projection.gauge(
    "sidecar.projection.interruption",
    "s",
    "How long errors that end by themselves have kept a projection from coming on; no series while "
    "none do.",
    attribute.ERROR_TYPE,
)
VERIFIED: Final = _of_projection.gauge(
    "sidecar.projection.verified.timestamp",
    "s",
    "Unix time at which a read model was last compared with a replay of the log.",
)

# The event store and its server, as the probe process reads them.
HEAD: Final = PROBE.gauge(
    "sidecar.store.head.position", "{position}", "Highest position in the event store."
)
SAFE_HEAD: Final = PROBE.gauge(
    "sidecar.store.safe_head.position",
    "{position}",
    "Highest position below which no event can still appear.",
)
HOLD_DURATION: Final = PROBE.gauge(
    "sidecar.store.hold.duration",
    "s",
    "How long the safe head has been held at a gap; 0 when it is free.",
)
SKIPPED_POSITIONS: Final = PROBE.gauge(
    "sidecar.store.skipped_positions", "{position}", "Positions recorded as never to be filled."
)
OLDEST_TRANSACTION: Final = PROBE.gauge(
    "sidecar.store.oldest_transaction",
    "s",
    "Age of the oldest open transaction of the database; what it could read is not cleaned up.",
)
INACTIVE_SLOTS: Final = PROBE.gauge(
    "sidecar.store.inactive_slots",
    "{slot}",
    "Replication slots that nothing reads; the server keeps its write-ahead log for them.",
)
STORE_UNSAFE: Final = PROBE.gauge(
    "sidecar.store.unsafe",
    "{state}",
    "1 while projections could miss events by the positions handed out, else 0.",
)
LOST_EVENTS: Final = PROBE.gauge(
    "sidecar.store.lost_events",
    "{event}",
    "Events that were seen at the end of the log and are gone; 0 once that is accepted.",
)
CAUSES: Final = PROBE.gauge(
    "sidecar.cause",
    "{cause}",
    "1 for why PostgreSQL cannot be used; no series while it can.",
    attribute.CAUSE,
)
SERVER_CONNECTIONS: Final = PROBE.gauge(
    "sidecar.server.connections",
    "{connection}",
    "Sessions at the database server, as pg_stat_activity shows them.",
    attribute.APPLICATION_NAME,
    attribute.STATE,
)

# The probe process about itself, its checks, its configuration and its workers.
CHECK_STATUS: Final = _of_check.gauge(
    "sidecar.check.status",
    "{state}",
    "1 for the outcome that a check has, 0 for the others.",
)
CHECK_TRANSITIONS: Final = _of_check.counter(
    "sidecar.check.transitions",
    "{transition}",
    "Times that a check changed to an outcome.",
)
CONFIG_FINDINGS: Final = PROBE.gauge(
    "sidecar.config.findings",
    "{finding}",
    "Findings of the configuration rules.",
    attribute.FINDING_ID,
    attribute.SEVERITY,
)
READY: Final = PROBE.gauge("sidecar.ready", "{state}", "1 while traffic may come, else 0.")
DRAINING: Final = PROBE.gauge(
    "sidecar.draining", "{state}", "1 while the process is shutting down, else 0."
)
WORKER_RESTARTS: Final = PROBE.counter(
    "sidecar.worker.restarts",
    "{restart}",
    "Times that a worker was started again.",
    attribute.WORKER,
    attribute.REASON,
)
AGENT_SCRAPE_FAILURES: Final = PROBE.counter(
    "sidecar.agent.scrape.failures",
    "{failure}",
    "Times that an agent could not be read.",
    attribute.TARGET,
)
# Not unit "1": a translation outside would turn a gauge of unit 1 into `_ratio`.
BUILD_INFO: Final = PROBE.gauge(
    "sidecar.build.info", "{build}", "1, with the version that runs.", attribute.VERSION
)

# Every process about itself.
LOOP_LAG: Final = _every.gauge(
    "sidecar.loop.lag", "s", "How late the process's event loop woke up last."
)
TELEMETRY_DROPPED: Final = _every.counter(
    "sidecar.telemetry.dropped",
    "{item}",
    "Telemetry lost because its queue was full or its receiver failed.",
    attribute.SIGNAL,
)
AGENT_FAILURES: Final = Emitter(("app",)).counter(
    "sidecar.agent.failures",
    "{failure}",
    "Times that an agent could not do a part of its work; its process went on without.",
    attribute.PART,
)

# The processes that run projections and handlers.
HEARTBEAT: Final = _of_loop.gauge(
    "sidecar.projection.heartbeat.timestamp",
    "s",
    "Unix time of a projection's last completed poll.",
)
PROGRESS: Final = _of_loop.gauge(
    "sidecar.projection.progress.timestamp",
    "s",
    "Unix time at which a projection's checkpoint last moved.",
)
PROJECTION_EVENTS: Final = _of_loop.counter(
    "sidecar.projection.events", "{event}", "Events that a projection applied."
)
PROJECTION_FAILURES: Final = _of_loop.counter(
    "sidecar.projection.failures",
    "{failure}",
    "Failures of projections, by what was done about them.",
    attribute.ERROR_TYPE,
    attribute.ACTION,
)
PROJECTION_REPLAYS: Final = _of_loop.counter(
    "sidecar.projection.replays",
    "{batch}",
    "Batches that were rolled back and applied again in parts, for something in them failed.",
)
PROCESS_DURATION: Final = _working.histogram(
    "messaging.process.duration",
    "How long a projection took for one batch.",
    attribute.CONSUMER_GROUP,
    attribute.OPERATION_NAME,
    attribute.ERROR_TYPE,
    conditions={attribute.ERROR_TYPE: "If the batch failed."},
)
EVENTS_PUBLISHED: Final = _working.counter(
    "sidecar.events.published", "{event}", "Events handed to the publisher.", attribute.EVENT_TYPE
)
HANDLER_EVENTS: Final = _working.counter(
    "sidecar.handler.events", "{event}", "Events that a handler handled.", attribute.HANDLER
)
HANDLER_FAILURES: Final = _working.counter(
    "sidecar.handler.failures",
    "{failure}",
    "Failures of handlers for good; a retry is not counted.",
    attribute.HANDLER,
    attribute.ERROR_TYPE,
)
PUBLISH_DURATION: Final = _working.histogram(
    "sidecar.publish.duration", "How long a publish took, all of its subscribers included."
)

# Connection pools, by the names of the semantic conventions, and what those lack.
POOL_COUNT: Final = _of_pool.up_down_counter(
    "db.client.connection.count",
    "{connection}",
    "Connections of a pool, by state.",
    attribute.POOL_STATE,
)
POOL_MAX: Final = _of_pool.up_down_counter(
    "db.client.connection.max", "{connection}", "Connections that a pool may open."
)
POOL_PENDING: Final = _of_pool.up_down_counter(
    "db.client.connection.pending_requests", "{request}", "Requests that wait for a connection."
)
POOL_TIMEOUTS: Final = _of_pool.counter(
    "db.client.connection.timeouts", "{timeout}", "Requests that gave up waiting for a connection."
)
POOL_WAIT_TIME: Final = _of_pool.histogram(
    "db.client.connection.wait_time",
    "How long a request waited for a connection, by how that ended.",
    attribute.OUTCOME,
)
POOL_USE_TIME: Final = _of_pool.histogram(
    "db.client.connection.use_time", "How long a connection was held."
)
POOL_CREATE_TIME: Final = _of_pool.histogram(
    "db.client.connection.create_time", "How long opening a connection took."
)
POOL_CLOSED: Final = _of_pool.counter(
    "sidecar.pool.closed",
    "{connection}",
    "Connections of a pool that were closed, by whichever side.",
)
POOL_WAIT_OLDEST: Final = _of_pool.gauge(
    "sidecar.pool.wait.oldest",
    "s",
    "How long the request that waits longest has waited; 0 when none waits.",
)
POOL_LEAKS: Final = _of_pool.gauge(
    "sidecar.pool.leaks", "{connection}", "Connections held for longer than the pool's limit."
)

INSTRUMENTS: Final = tuple(value for value in vars().values() if isinstance(value, Instrument))
