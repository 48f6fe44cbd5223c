"""For services that log with structlog: trace ids and redaction, without importing it."""

import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Final

from sidecar.telemetry.logs import current_ids, redact_value
from sidecar.telemetry.redaction import Redact, Redactor


class TraceContextProcessor:
    """Gives each entry `trace_id` (32 hex digits) and `span_id` (16) of the current span.

    Put it into structlog's chain: `structlog.configure(processors=[TraceContextProcessor(), ...])`.
    Outside a span an entry stays as it is; ids that an entry has already are never overwritten.
    """

    def __call__(
        self, _logger: object, _method: str, entry: MutableMapping[str, object]
    ) -> MutableMapping[str, object]:
        """Return the entry."""
        trace_id, span_id = current_ids()
        if trace_id:
            entry.setdefault("trace_id", trace_id)
            entry.setdefault("span_id", span_id)
        return entry


class RedactionProcessor:
    """Masks secrets in every text of an entry, however deep; put it last but for the renderer.

    A traceback that the renderer would write is written here, so that it is masked too. Without
    `redact` passwords in URLs and connection strings are masked only.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self._redact: Final = redact or Redactor()

    def __call__(
        self, _logger: object, _method: str, entry: Mapping[str, object]
    ) -> dict[str, object]:
        """Return a masked copy."""
        kept = {name: value for name, value in entry.items() if name != "exc_info"}
        error = _find_error(entry.get("exc_info"))
        if error is not None:
            kept["exception"] = "".join(traceback.format_exception(error))
        return {name: redact_value(value, self._redact) for name, value in kept.items()}


def _find_error(exc_info: object) -> BaseException | None:
    """Return the exception that structlog's `exc_info` stands for: itself, a triple, or True."""
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if exc_info is True:
        exc_info = sys.exception()
    return exc_info if isinstance(exc_info, BaseException) else None
