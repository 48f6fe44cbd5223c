"""Every log event: the stable name that a log line carries as `event`, and what it says.

The rooms that log are below or beside this one, so a name is spelled where its line is written;
a test holds each use to its declaration here, and each declaration to a use.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One log event.

    Attributes:
        name: Value of `event`; a part in braces stands for one of a closed set.
        levels: Levels that the line can have.
        brief: What has happened, as one sentence.
        attributes: Further keys of the line, beside those that every line has.
    """

    name: str
    levels: tuple[str, ...]
    brief: str
    attributes: tuple[str, ...] = ()


def _says(brief: str, attributes: str = "") -> tuple[str, tuple[str, ...]]:
    return brief, tuple(attributes.split())


_DECLARED: Final = {
    ("critical",): {
        "sidecar.checkpoint.gone": _says(
            "Checkpoints were deleted; their projections do not run.", "projections"
        ),
        "sidecar.letters.lost": _says("Failures could not be kept as dead letters.", "event_type"),
        "sidecar.log.end_lost": _says(
            "The log lacks events at its end that were seen, and handlers wait.", "position"
        ),
        "sidecar.process.ignored": _says("An exception could not be raised anywhere."),
        "sidecar.process.uncaught": _says("An exception ended the process."),
        "sidecar.process.{code}": _says(
            "One of the sidecar's own errors ended the process; `code` is the error's."
        ),
        "sidecar.projection.blocked": _says(
            "A projection does not run until a person decides.", "projection"
        ),
        "sidecar.projection.halted": _says(
            "A projection stands still, for no event can be applied.", "projection error_type"
        ),
        "sidecar.projections.failed": _says(
            "Read models lack an event that could not be applied.", "event_type projections streams"
        ),
        "sidecar.rebuild.halted": _says(
            "A failure stopped a rebuild, or rows would vanish; the live copy goes on.",
            "projection error_type",
        ),
        "sidecar.store.unsafe": _says("Projections could miss events by the positions handed out."),
        "sidecar.thread.uncaught": _says("An exception ended a thread."),
    },
    ("error",): {
        "sidecar.check.loop_restarted": _says(
            "The loop of a check ended and was started again.", "check"
        ),
        "sidecar.event.failed": _says(
            "A projection failed to apply an event.",
            "projection position stream event_type error_type action attempt",
        ),
        "sidecar.letters.missing": _says(
            "Dead letters were deleted by hand; the projection lacks their events.", "projection"
        ),
        "sidecar.letters.no_place": _says(
            "Dead letters of a publisher have no table to be kept in."
        ),
        "sidecar.log.unwritten": _says("A log line could not be written."),
        "sidecar.loop.restarted": _says("A background loop ended and was started again.", "loop"),
        "sidecar.projection.late_statement": _says(
            "A task that outlived its handler was refused.", "projection"
        ),
        "sidecar.runner.crashed": _says(
            "The loop of a projection crashed and is started again.", "projection"
        ),
        "sidecar.setup.failed": _says(
            "A projection or handler cannot run, for its setup failed.", "projection error_type"
        ),
        "sidecar.subscriber.failed": _says(
            "A handler or projection of a publisher failed.",
            "handler projection event_type error_type",
        ),
        "sidecar.verification.failed": _says(
            "A read model could not be compared with a replay of the log.", "projection error_type"
        ),
        "sidecar.worker.exited": _says("A worker ended and is started again.", "worker status"),
        "sidecar.worker.hung": _says(
            "A worker was silent, was killed and is started again.", "worker status"
        ),
        "sidecar.worker.unstarted": _says(
            "A worker cannot be started; it is tried again.", "worker error_type"
        ),
    },
    ("warning",): {
        "sidecar.agent.limited": _says("An agent goes on without a part of its work.", "part"),
        "sidecar.application.directory_unreadable": _says(
            "The directory of the application's agents cannot be read."
        ),
        "sidecar.check.raised": _says("A check raised an exception and counts as failed.", "check"),
        "sidecar.check.refused": _says("A check of an application is left out.", "check"),
        "sidecar.checkpoint.moved": _says(
            "Another owner moved a checkpoint; the batch was rolled back.", "projection"
        ),
        "sidecar.events.passed_over": _says(
            "A projection passed over events that its release does not handle.", "projection"
        ),
        "sidecar.exposition.refused": _says(
            "The numbers of a process were left out, for they are no valid text.", "target"
        ),
        "sidecar.letter.erased": _says(
            "A dead letter was due, but its event is no longer in the log.", "projection stream"
        ),
        "sidecar.letters.undeleted": _says(
            "Dead letters that were resolved long ago cannot be deleted at present."
        ),
        "sidecar.letters.unnamed": _says(
            "`find_stream` failed for an event whose dead letter was kept.", "event_type"
        ),
        "sidecar.letters.unreadable": _says(
            "A dead letter was kept that cannot be retried until its class is mended.", "event_type"
        ),
        "sidecar.log.unkept": _says("What is remembered of the log cannot be kept in one place."),
        "sidecar.passed_over.uncounted": _says("Passed-over events cannot be counted at present."),
        "sidecar.pool.leak": _says(
            "A connection is held for longer than the pool's limit.", "pool task held_seconds"
        ),
        "sidecar.pool.unconnected": _says("A pool could not open a connection."),
        "sidecar.projection.eager": _says(
            "A statement cannot be deferred, so it is sent at once.", "projection"
        ),
        "sidecar.projection.interrupted": _says(
            "A transient error rolled a batch back.", "projection"
        ),
        "sidecar.projection.left": _says(
            "A worker of another release leaves a projection to others.", "projection"
        ),
        "sidecar.serve.few_descriptors": _says(
            "The limit of open files bounds how many clients can connect.", "limit"
        ),
        "sidecar.setup.slow": _says(
            "A setup takes long, or waits for that of another worker.", "projection"
        ),
        "sidecar.store.held": _says("The safe head is held at a gap.", "position"),
        "sidecar.telemetry.close_timeout": _says(
            "Spans were lost at the end of the process.", "spans"
        ),
        "sidecar.telemetry.dropped": _says(
            "Telemetry was lost for the first time; more is only counted.", "signal"
        ),
        "sidecar.telemetry.protocol_unknown": _says(
            "The protocol of OTLP that was asked for is not offered."
        ),
        "sidecar.telemetry.reader_failed": _says(
            "A metric is left out, for reading its values failed."
        ),
        "sidecar.telemetry.sampler_unknown": _says(
            "The sampler that was asked for is not offered."
        ),
        "sidecar.telemetry.settings_refused": _says(
            "OpenTelemetry refuses its settings, so nothing is sent.", "signal"
        ),
        "sidecar.token.missing": _says("There is no token, so the guarded pages answer nobody."),
        "sidecar.watch.lost": _says("The database could not be sampled.", "error_type"),
        "sidecar.worker.port_taken": _says(
            "The port of a worker's agent was taken, so another is used."
        ),
        "sidecar.verification.unscheduled": _says(
            "Read models cannot be verified in the background at present."
        ),
        "sidecar.worker.waits": _says("A worker waits for the database."),
    },
    ("info",): {
        "sidecar.embedded.started": _says("The embedded PostgreSQL has started."),
        "sidecar.http.malformed": _says("A malformed HTTP request was refused."),
        "sidecar.letters.deleted": _says(
            "Dead letters that were resolved long ago were deleted.", "letters"
        ),
        "sidecar.lease.taken": _says("A worker runs a projection from now on.", "projection"),
        "sidecar.process.signal_passed": _says("A signal came that changes nothing."),
        "sidecar.projection.relieved": _says(
            "A projection that stood still goes on.", "projection"
        ),
        "sidecar.rebuild.swapped": _says("A rebuilt copy took over.", "projection discarded"),
        "sidecar.serve.draining": _says("The probe process drains before it ends."),
        "sidecar.serve.listening": _says("The probe process answers requests."),
        "sidecar.stream.resumed": _says(
            "A parked stream was applied again.", "projection stream events"
        ),
        "sidecar.token.kept": _says("The guarded pages ask for the token that is kept in a file."),
        "sidecar.token.rotated": _says("The token was replaced."),
    },
    ("warning", "critical"): {
        "sidecar.log.other_database": _says("DATABASE_URL leads to another database than before."),
        "sidecar.table.changed": _says(
            "Somebody changed a table of a read model, or it lacks rows.", "projection table change"
        ),
    },
    ("info", "warning"): {
        "sidecar.check.changed": _says("A check changed to an outcome.", "check status reason"),
    },
    ("info", "critical"): {
        "sidecar.verification.ended": _says(
            "A read model was compared with a replay of the log.", "projection rows"
        ),
    },
    ("debug", "info"): {"sidecar.setup.over": _says("A setup is over.", "projection")},
    ("info", "warning", "error", "critical"): {
        "sidecar.configuration.found": _says(
            "A rule found something in the configuration.", "finding severity field"
        ),
    },
}
"""By level, or by the levels that a line can have: what each event says."""

LOG_EVENTS: Final = tuple(
    LogEvent(name, levels, *said)
    for levels, events in _DECLARED.items()
    for name, said in events.items()
)
