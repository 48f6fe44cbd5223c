"""Uncaught errors: printed on standard error as ever, but without secrets.

Where the log is JSON each is a line of JSON, with the traceback inside.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType

from sidecar.telemetry.logs import tell_apart
from sidecar.telemetry.redaction import Redact, Redactor
from sidecar.telemetry.visible import visible_lines

_redact: Redact = Redactor()


def redact_uncaught(redact: Redact) -> None:
    """Print what ends the process, or one of its threads, through `redact` from now on."""
    global _redact  # noqa: PLW0603 - as the hooks are, it belongs to the process
    _redact = redact
    sys.excepthook = _print_error
    threading.excepthook = _print_thread_error
    sys.unraisablehook = _print_ignored_error


def _print_error(
    _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    _write("", error, "sidecar.process.uncaught")


def _print_thread_error(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "unknown"
        _write(f"Exception in thread {name}", args.exc_value, "sidecar.thread.uncaught")


def _print_ignored_error(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        head = f"{args.err_msg or 'Exception ignored in'}: {type(args.object).__name__}"
        _write(head, args.exc_value, "sidecar.process.ignored")


def tell_exit(ending: SystemExit) -> int:
    """Print what the process was ended with, as the interpreter would; return its exit code."""
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    said = str(ending.code)
    if not tell_apart(logging.CRITICAL, said, event="sidecar.process.uncaught"):
        _print(_redact(said) + "\n")
    return 1


def _write(head: str, error: BaseException, event: str) -> None:
    last = "".join(traceback.format_exception_only(error)).strip()
    said = f"{head}: {last}" if head else last
    if tell_apart(logging.CRITICAL, said, event=event, error=error):
        return
    text = "".join(traceback.format_exception(error))
    _print(_redact(f"{head}:\n{text}" if head else text))


def _print(text: str) -> None:
    sys.stderr.write(visible_lines(text))
    sys.stderr.flush()
