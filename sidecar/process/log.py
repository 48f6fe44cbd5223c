"""The log lines about workers that ended or could not be started."""

import logging

logger = logging.getLogger(__name__)


def log_end(worker: str, status: int | None, silent_seconds: float | None) -> None:
    """Log that a worker's process ended, killed after so much silence or by itself with None."""
    if silent_seconds is None:
        event, text = "sidecar.worker.exited", f"ended with status {status}"
    else:
        event = "sidecar.worker.hung"
        text = f"was silent for {silent_seconds:g} s, stuck in a handler, and was killed"
    logger.error(
        "%s %s; it is started again and goes on from its checkpoints",
        worker,
        text,
        extra={"event": event, "worker": worker, "status": status},
    )


def log_unstarted(worker: str, error: OSError) -> None:
    """Log that there was no room for a worker's process, or nothing that could be executed."""
    error_type = type(error).__name__
    logger.error(
        "%s cannot be started: %s, %s. It is tried again; the other workers go on",
        worker,
        error_type,
        error.strerror,
        extra={"event": "sidecar.worker.unstarted", "worker": worker, "error_type": error_type},
    )
