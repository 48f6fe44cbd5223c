"""Log lines: one JSON object each, or readable text, with trace ids and without secrets."""

import contextlib
import datetime as dt
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TextIO

import msgspec
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from typing_extensions import override

from sidecar.config.secret import Secret
from sidecar.telemetry.log_filter import PoolErrorFilter
from sidecar.telemetry.redaction import Redact, Redactor
from sidecar.telemetry.tracebacks import Tracebacks
from sidecar.telemetry.visible import visible, visible_json, visible_lines

LogFormat = Literal["json", "text"]

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "taskName", "trace_id", "span_id", "event"),
}
_MAX_DEPTH: Final = 8

# A subclass of a plain type, or an integer too long for it, is written as text.
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def current_ids() -> tuple[str, str]:
    """Return trace id (32 hex digits) and span id (16) of this task's span; outside one, empty."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return "", ""
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


class TraceContextFilter(logging.Filter):
    """Gives each record `trace_id` (32 hex digits) and `span_id` (16) of the current span.

    Outside a span both are empty. Put it on a handler of your own to join logs and traces.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.trace_id, record.span_id = current_ids()
        return True


class RedactionFilter(logging.Filter):
    """Masks secrets in message, traceback and `extra`, for a formatter of your own.

    The record itself is changed, for handlers that come later too: put it on the first one.
    Without `redact` passwords in URLs and connection strings are masked only.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        super().__init__()
        self._redact: Final = redact or Redactor()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redact(_write_message(record)), None
        # A formatter writes `exc_text` where there is one; the exception itself must not remain.
        record.exc_text = self._redact(_write_exception(record)) or None
        record.exc_info = record.stack_info = None
        for name, value in _find_extras(record).items():
            setattr(record, name, redact_value(value, self._redact))
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Keys: `time` (RFC 3339, UTC), `level`, `logger`, `event` (stable dotted name, where the line
    has one), `message`, `trace_id`, `span_id`, `service`, `process`, `exception`, and whatever
    was given as `extra`. Every text is redacted before it is encoded, so nothing can bypass it.
    Equal tracebacks are written every ten seconds; `tracebacks_left_out` counts the others since.
    """

    def __init__(self, service: str, process: str, redact: Redact) -> None:
        super().__init__()
        self._own: Final = {"service": service, "process": process}
        self._redact: Final = redact
        self._tracebacks: Final = Tracebacks()

    @override
    def format(self, record: logging.LogRecord) -> str:
        exception, left_out = self._tracebacks.write(record)
        line: dict[str, object] = {
            "time": _write_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "event": getattr(record, "event", None),
            "message": _write_message(record),
            "trace_id": getattr(record, "trace_id", None),
            "span_id": getattr(record, "span_id", None),
            **self._own,
            "exception": _with_stack(exception, record),
            "tracebacks_left_out": left_out or None,
        }
        for name, value in _find_extras(record).items():
            line[f"extra_{name}" if name in line else name] = value
        known = {name: value for name, value in line.items() if value is not None and value != ""}
        return visible_json(_encode(redact_value(known, self._redact)).decode())


class TextFormatter(logging.Formatter):
    """A readable line for a terminal, followed by the traceback where there is one."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact: Final = redact
        self._tracebacks: Final = Tracebacks()

    @override
    def format(self, record: logging.LogRecord) -> str:
        clock = dt.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        ids = [getattr(record, name, "") for name in ("trace_id", "span_id")]
        said = visible(f"{record.name}: {_write_message(record)}")
        head = f"{clock} {record.levelname:<8} {said}"
        tail = f" [trace_id={ids[0]} span_id={ids[1]}]" if all(ids) else ""
        exception, left_out = self._tracebacks.write(record)
        below = visible_lines(_with_stack(exception, record))
        if left_out:
            below = f"{below}\n(equal tracebacks left out: {left_out})"
        return self._redact(f"{head}{tail}\n{below}".rstrip("\n"))


class LogHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure` installs; calling it again replaces it."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Write that a line was lost; the library would print its arguments, secrets included."""
        lost = f"A log line of {record.name} could not be written: {type(sys.exception()).__name__}"
        with contextlib.suppress(OSError, ValueError):
            if not tell_apart(logging.ERROR, lost, event="sidecar.log.unwritten"):
                sys.stderr.write(f"{visible(lost)}\n")


def configure(
    *,
    format: LogFormat,  # noqa: A002 - the setting's own name
    level: int | str,
    service: str,
    process: str,
    stream: TextIO,
    secrets: Iterable[Secret] | Redactor = (),
) -> LogHandler:
    """Send the root logger's records to `stream`; handlers of others stay.

    The names of service and process stand in each JSON line. The stream stays open; its owner
    closes it. `secrets` are masked wherever they would appear.
    """
    redact = secrets if isinstance(secrets, Redactor) else Redactor(secrets)
    handler = LogHandler(stream)
    handler.addFilter(TraceContextFilter())
    handler.addFilter(PoolErrorFilter())
    handler.setFormatter(
        JsonFormatter(service, process, redact) if format == "json" else TextFormatter(redact)
    )
    root = logging.getLogger()
    for other in [other for other in root.handlers if isinstance(other, LogHandler)]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    return handler


def tell_apart(level: int, message: str, *, event: str, error: BaseException | None = None) -> bool:
    """Write a line to standard error as a log in JSON has it; False where the log is text.

    For what ends the process, and what the log itself cannot take: a collector of standard error
    and the log must be able to read each line of both.
    """
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, LogHandler)]
    formatters = (each.formatter for each in handlers)
    formatter = next((each for each in formatters if isinstance(each, JsonFormatter)), None)
    if formatter is None:
        return False
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("sidecar", level, __file__, 0, message, None, info)
    record.event = event
    sys.stderr.write(f"{formatter.format(record)}\n")
    sys.stderr.flush()
    return True


def redact_value(value: object, redact: Redact, depth: int = 0) -> object:
    """Return a value fit for JSON, with every text in it redacted."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {
                redact(str(key)): redact_value(item, redact, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [redact_value(item, redact, depth + 1) for item in value]
    return redact(str(value))


def _find_extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _write_time(created: float) -> str:
    moment = dt.datetime.fromtimestamp(created, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_message(record: logging.LogRecord) -> str:
    """A call with the wrong arguments costs its values, never the line."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (the arguments of this line do not fit its text)"


def _write_exception(record: logging.LogRecord) -> str:
    text = record.exc_text or ""
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(record.exc_info[1]))
    return _with_stack(text, record)


def _with_stack(exception: str, record: logging.LogRecord) -> str:
    return f"{exception}\n{record.stack_info or ''}".strip("\n")
