"""Errors that nobody catches: told as ever on standard error, but without secrets."""

import sys
import threading
import traceback
from types import TracebackType

from sidecar.telemetry.redaction import Redact
from sidecar.telemetry.visible import visible_lines


def redact_uncaught(redact: Redact) -> None:
    """Print what ends the process, or one of its threads, through `redact` from now on."""

    def tell(
        _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
    ) -> None:
        _write(redact("".join(traceback.format_exception(error))))

    def tell_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or isinstance(args.exc_value, SystemExit):
            return
        name = args.thread.name if args.thread is not None else "unknown"
        text = "".join(traceback.format_exception(args.exc_value))
        _write(redact(f"Exception in thread {name}:\n{text}"))

    sys.excepthook = tell
    threading.excepthook = tell_thread


def _write(text: str) -> None:
    sys.stderr.write(visible_lines(text))
    sys.stderr.flush()
