"""Every attribute of a metric, span or series, with what the contract says of it."""

from collections.abc import Mapping
from typing import Final, Self

from sidecar.config.severity import Severity
from sidecar.diagnosis.cause import Cause
from sidecar.health.outcome import Outcome
from sidecar.projections.observer import Action
from sidecar.projections.projection_status import Rebuild, Status
from sidecar.telemetry.otlp_route import Signal

SYSTEM: Final = "sidecar"
"""The value of `messaging.system`; the conventions have no member for an event store."""
SEND: Final = "send"
"""The value of `messaging.operation.type` for an append."""
COLLECT: Final = "collect"
"""The value of `action` for a failure that a publisher returned to its caller."""


class Attribute(str):
    """An attribute is its name, so it is used as a key wherever the name would be.

    Attributes:
        brief: What it says, as one sentence.
        examples: Values, where they are open; those of an attribute that is a number are integers.
        members: Closed set of values with the meaning of each; empty where any value may come.
        bound: The most values that one exposition can hold; empty where there is only one.
        stability: `development` or `stable`, as the conventions say it.
    """

    __slots__ = ("bound", "brief", "examples", "members", "stability")

    brief: str
    examples: tuple[str | int, ...]
    members: Mapping[str, str]
    bound: str
    stability: str

    def __new__(
        cls,
        name: str,
        brief: str,
        *examples: str | int,
        members: Mapping[str, str] | None = None,
        bound: str = "",
        stability: str = "development",
    ) -> Self:
        """Declare an attribute; a closed set is its own bound."""
        declared = super().__new__(cls, name)
        declared.brief = brief
        declared.examples = examples
        declared.members = {str(value): meaning for value, meaning in (members or {}).items()}
        declared.bound = bound or (str(len(members)) if members else "")
        declared.stability = stability
        return declared


# Our own, for which OpenTelemetry has no name.
ACTION: Final = Attribute(
    "action",
    "What was done about the failure.",
    members={
        Action.RETRY: "Will be tried again",
        Action.PARK: "Kept as a dead letter",
        Action.HALT: "The projection or its rebuild stopped",
        COLLECT: "Returned to the caller of the publisher",
    },
)
APPLICATION_NAME: Final = Attribute(
    "application_name",
    "Name that the client gave itself; `_OTHER` beyond the 50 with the most sessions.",
    *("shop", "_OTHER"),
    bound="51",
)
CAUSE: Final = Attribute(
    "cause",
    "Why PostgreSQL cannot be used, as `/ready` says in a sentence.",
    members={cause: cause.replace("-", " ").capitalize() for cause in Cause},
)
CHECK: Final = Attribute("check", "Name of the health check.", "database", bound="checks")
CHECK_OUTCOME: Final = Attribute(
    "status",
    "Outcome of the check.",
    members={
        Outcome.PASS: "Good",
        Outcome.WARN: "Good with a reservation",
        Outcome.FAIL: "Not good",
        Outcome.UNKNOWN: "No fresh answer",
    },
)
EVENT_TYPE: Final = Attribute(
    "event_type",
    "Registered type of the event; any other type is folded to `_OTHER`.",
    "OrderPlaced",
    bound="(event types + 1)",
)
FINDING_ID: Final = Attribute("id", "Stable id of the rule that found it.", "SEC01", bound="rules")
HANDLER: Final = Attribute(
    "handler", "Name of the subscribed handler, from the code.", "send_receipt", bound="handlers"
)
LINKS_DROPPED: Final = Attribute(
    "sidecar.links.dropped", "Links beyond the limit, which were left out.", 872
)
OUTCOME: Final = Attribute(
    "outcome",
    "How the wait ended.",
    members={
        "ok": "With a connection",
        "timeout": "The caller gave up",
        "cancelled": "The caller was cancelled",
        "error": "The server refused a new one",
    },
)
PART: Final = Attribute(
    "part",
    "What the agent goes on without.",
    members={
        "start": "Everything: it did not start",
        "socket": "The socket in the agents' directory",
        "port": "The TCP port for other hosts",
        "publisher": "The numbers of a publisher",
        "pool": "The numbers of a pool",
        "store": "The numbers of an event store",
        "checks": "The application's checks",
        "answer": "One answer to the probe process",
        "end": "An orderly end",
    },
)
PROCESS: Final = Attribute(
    "process",
    "Which process the series is from: `probe`, `app-1`, or the worker's name.",
    *("probe", "worker-1", "app-1"),
)
PROJECTION: Final = Attribute(
    "projection",
    "Name of the projection; only names known to the code or the checkpoints.",
    "order_totals",
    bound="projections",
)
PROJECTION_STATE: Final = Attribute(
    "status",
    "Status of the projection's live copy.",
    members={
        Status.RUNNING: "Working off its lag",
        Status.CAUGHT_UP: "Nothing left to do",
        Status.PAUSED: "Stopped on request",
        Status.FAILED: "Stopped by a failure",
        Status.STALLED: "Behind and not moving",
        Status.UNOWNED: "No process runs it",
    },
)
REASON: Final = Attribute(
    "reason",
    "Why the worker was started again.",
    members={
        "exited": "The process ended",
        "hung": "Its loop was stuck and it was killed",
    },
)
REBUILD_STATE: Final = Attribute(
    "status",
    "How the rebuild goes.",
    members={
        Rebuild.NONE: "None is under way",
        Rebuild.RUNNING: "Filling a new copy",
        Rebuild.HALTED: "Stopped by a failure, or until a person approves that rows vanish",
        Rebuild.IN_PLACE: "Filling the live copy again, which was emptied",
    },
)
SERVICE: Final = Attribute(
    "service", "Whose read models these are; `service.name`, as in what is sent by OTLP.", "shop"
)
SEVERITY: Final = Attribute(
    "severity",
    "How grave the finding is.",
    members={
        Severity.INFO: "Good to know",
        Severity.WARNING: "Should be changed",
        Severity.ERROR: "Something will not work",
        Severity.REFUSE: "Unfit for production",
    },
)
SIGNAL: Final = Attribute(
    "signal",
    "Kind of telemetry that was dropped.",
    members={Signal.TRACES: "Spans", Signal.METRICS: "Exports of all metrics"},
)
SPAN_ACTION: Final = Attribute(
    "sidecar.failure.action",
    "On `process`, what was done about the failure, as in `action`.",
    "park",
)
SPAN_ATTEMPT: Final = Attribute(
    "sidecar.attempt", "On `process`, how many times the event had been tried, counted from 1.", 3
)
SPAN_POSITION: Final = Attribute(
    "sidecar.position",
    "On `process`, the position of the event; on `append`, that of the last one.",
    1042,
)
SPAN_SUBSCRIBER: Final = Attribute(
    "sidecar.subscriber.name",
    "On `publish`, the handler or projection that failed.",
    "order_totals",
)
STATE: Final = Attribute(
    "state",
    "What the session does.",
    members={
        "active": "Runs a statement",
        "idle": "Waits for the client",
        "idle_in_transaction": "Waits for the client inside a transaction, failed ones included",
        "other": "Anything else or not shown",
    },
)
TARGET: Final = Attribute(
    "target",
    "The process that did not answer, named as in `process`.",
    *("worker-1", "app-1"),
    bound="(workers + processes of the application + 1)",
)
VERSION: Final = Attribute("version", "Version of the sidecar.", "0.1.0")
WORKER: Final = Attribute(
    "worker",
    "Name of a supervised worker, counted from 1; a restart keeps the name.",
    "worker-1",
    bound="workers",
)

# Taken from the semantic conventions, with the values that the sidecar uses.
BATCH_COUNT: Final = Attribute("messaging.batch.message_count", "Events in the batch.", 1000)
CONSUMER_GROUP: Final = Attribute(
    "messaging.consumer.group.name", "Name of the projection.", "order_totals", bound="projections"
)
DESTINATION: Final = Attribute(
    "messaging.destination.name",
    "The stream. On spans alone, for there is no end of streams.",
    "order-4711",
)
ERROR_TYPE: Final = Attribute(
    "error.type",
    "Class name of the exception; `_OTHER` after 20 distinct ones for one projection or handler.",
    *("KeyError", "_OTHER"),
    bound="21 error types",
    stability="stable",
)
MESSAGING_SYSTEM: Final = Attribute(
    "messaging.system",
    "The conventions have no member for an event store in PostgreSQL.",
    members={SYSTEM: "The event store"},
)
OPERATION_NAME: Final = Attribute(
    "messaging.operation.name",
    "What was done, in the sidecar's own word.",
    members={
        "append": "One append to the store",
        "publish": "One publish call",
        "process": "One batch applied",
    },
)
OPERATION_TYPE: Final = Attribute(
    "messaging.operation.type",
    "What was done, in the conventions' word.",
    members={SEND: "Events were sent"},
)
POOL_NAME: Final = Attribute(
    "db.client.connection.pool.name",
    "Name of the pool, given by the application.",
    "shop",
    bound="pools",
)
POOL_STATE: Final = Attribute(
    "db.client.connection.state",
    "Whether the connection is acquired.",
    members={"idle": "Waits to be acquired", "used": "Is acquired"},
)

ATTRIBUTES: Final = tuple(value for value in vars().values() if isinstance(value, Attribute))
