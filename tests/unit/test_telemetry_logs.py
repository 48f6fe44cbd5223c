"""Log lines parse, join the trace, and never tell a secret."""

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from sidecar.config.secret import Secret
from sidecar.telemetry.logs import (
    JsonFormatter,
    LogHandler,
    RedactionFilter,
    TraceContextFilter,
    configure,
)
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.structlog import RedactionProcessor, TraceContextProcessor

PASSWORD = "p@ss/w:rd'\"\\é1"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def untouched_root() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    showwarning = warnings.showwarning
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, LogHandler)]:
        root.removeHandler(handler)
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning


def fail(message: str) -> None:
    raise ValueError(message)


def configure_json(stream: io.StringIO, *secrets: str) -> LogHandler:
    return configure(
        format="json",
        level="INFO",
        service="shop",
        process="app",
        stream=stream,
        secrets=[Secret(secret) for secret in secrets],
    )


def read_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_stable_keys(stream: io.StringIO) -> None:
    configure_json(stream)
    logging.getLogger("shop.orders").warning(
        "Order %d is\nlate", 7, extra={"event": "shop.order.late", "order": {"ids": [1, None]}}
    )
    (line,) = read_lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "shop.orders",
        "event": "shop.order.late",
        "message": "Order 7 is\nlate",
        "service": "shop",
        "process": "app",
        "order": {"ids": [1, None]},
    }


def test_a_line_inside_a_span_carries_its_ids(stream: io.StringIO) -> None:
    configure_json(stream)
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span):
        logging.getLogger("shop").info("inside")
    (line,) = read_lines(stream)
    assert (line["trace_id"], line["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_text_inside_a_span_ends_with_its_ids(stream: io.StringIO) -> None:
    configure(format="text", level="INFO", service="shop", process="app", stream=stream)
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span):
        logging.getLogger("shop").info("inside")
    assert f"[trace_id={0xABC:032x} span_id={0xDEF:016x}]\n" in stream.getvalue()


def test_a_pool_without_a_server_names_its_error_in_one_line(stream: io.StringIO) -> None:
    configure(format="text", level="INFO", service="shop", process="app", stream=stream)
    try:
        fail("refused")
    except ValueError:
        logging.getLogger("asyncpg.pool").warning("Failed to restore; retrying", exc_info=True)
        logging.getLogger("asyncpg.pool").exception("broken")
    brief, *rest = stream.getvalue().splitlines()
    assert brief.endswith("asyncpg.pool: Failed to restore; retrying: ValueError")
    assert rest[1].startswith("Traceback")


def test_a_pool_without_a_server_has_an_event_to_look_for(stream: io.StringIO) -> None:
    configure_json(stream)
    try:
        fail("refused")
    except ValueError:
        logging.getLogger("asyncpg.pool").warning("Failed to restore; retrying", exc_info=True)
    (line,) = read_lines(stream)
    assert line["event"] == "sidecar.pool.unconnected"
    assert "exception" not in line


def test_a_failure_brings_its_traceback(stream: io.StringIO) -> None:
    configure_json(stream)
    try:
        fail("poison")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    (line,) = read_lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: poison")


def test_configuring_again_replaces_the_handler(stream: io.StringIO) -> None:
    configure_json(io.StringIO())
    configure_json(stream)
    logging.getLogger("shop").info("once")
    assert len(read_lines(stream)) == 1


@pytest.mark.parametrize("format_", ["json", "text"])
def test_a_secret_is_masked_wherever_it_stands(stream: io.StringIO, format_: str) -> None:
    url = f"postgresql://shop:{PASSWORD}@db/shop"
    configure(
        format=cast("Any", format_),
        level="INFO",
        service="shop",
        process="app",
        stream=stream,
        secrets=[Secret(url), Secret(PASSWORD)],
    )
    logger = logging.getLogger("shop")
    try:
        fail(f"cannot open {url} with {PASSWORD!r}")
    except ValueError:
        logger.exception("%s and %r", PASSWORD, [PASSWORD], extra={"deep": [{"url": url}]})
    text = stream.getvalue()
    assert "p@ss" not in text
    assert "rd'" not in text
    assert "***" in text


def test_passwords_in_urls_and_connection_strings_are_masked_unknown_as_they_are() -> None:
    redact = Redactor()
    assert redact("http://u:pw@host:80/a@b") == "http://u:***@host:80/a@b"
    assert redact("postgres://u:p@s/w@host/db now") == "postgres://u:***@host/db now"
    assert redact("host=h password='a b' user=u") == "host=h password=*** user=u"
    assert redact("{'password': 'abc'}") == "{'password': ***}"
    assert redact("http://host:8080/path is up") == "http://host:8080/path is up"


def test_a_hostile_text_is_redacted_in_time() -> None:
    began_mono = time.monotonic()
    Redactor([Secret(PASSWORD)])("postgres://a:" * 20_000 + "password='" * 20_000)
    assert time.monotonic() - began_mono < 10


@given(st.text(min_size=4))
def test_no_spelling_of_a_secret_passes(secret: str) -> None:
    redact = Redactor([Secret(secret)])
    for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")):
        assume(spelling not in "<***>")
        assert spelling not in redact(f"<{spelling}>")


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_any_extra_makes_a_line_that_parses(extra: dict[str, object]) -> None:
    record = logging.makeLogRecord({"msg": "%s", "args": ("\ud800",), "name": "shop"})
    for name, value in extra.items():
        vars(record).setdefault(name, value)
    line = JsonFormatter("shop", "app", Redactor()).format(record)
    assert "\n" not in line
    assert json.loads(line)["logger"] == "shop"


def test_a_call_with_the_wrong_arguments_keeps_its_line(stream: io.StringIO) -> None:
    handler = configure_json(stream)
    handler.handle(logging.makeLogRecord({"msg": "%d orders", "args": ("many",)}))
    assert "%d orders" in read_lines(stream)[0]["message"]


def test_a_line_that_cannot_be_written_tells_no_content(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise OSError(PASSWORD)

    handler = configure_json(stream, PASSWORD)
    handler.handle(logging.makeLogRecord({"name": "shop", "msg": "%s", "args": (Broken(),)}))
    line = json.loads(capsys.readouterr().err)
    assert line["message"] == "A log line of shop could not be written: OSError"


def test_text_for_a_terminal_shows_message_and_traceback(stream: io.StringIO) -> None:
    configure(format="text", level="INFO", service="shop", process="app", stream=stream)
    try:
        fail("poison")
    except ValueError:
        logging.getLogger("shop").exception("Order %d failed", 7)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR    shop: Order 7 failed")
    assert rest[-1] == "ValueError: poison"


def test_a_handler_with_a_formatter_of_its_own_writes_no_secret(stream: io.StringIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.addFilter(TraceContextFilter())
    handler.addFilter(RedactionFilter(Redactor([Secret(PASSWORD)])))
    handler.setFormatter(logging.Formatter("%(trace_id)s %(message)s %(told)s"))
    logger = logging.getLogger("theirs")
    logger.handlers = [handler]
    logger.propagate = False
    span = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, is_remote=False))
    with trace.use_span(span):
        try:
            fail(PASSWORD)
        except ValueError:
            logger.exception("it was %s", PASSWORD, extra={"told": [PASSWORD]})
    text = stream.getvalue()
    assert text.startswith(f"{0xABC:032x} it was *** ['***']\nTraceback")
    assert text.endswith("ValueError: ***\n")
    assert PASSWORD not in text


def test_an_entry_of_structlog_gets_its_ids_and_loses_its_secrets() -> None:
    add_ids, redact = TraceContextProcessor(), RedactionProcessor(Redactor([Secret(PASSWORD)]))
    assert add_ids(None, "info", {"event": "outside"}) == {"event": "outside"}
    span = trace.NonRecordingSpan(trace.SpanContext(0xABC, 0xDEF, is_remote=False))
    with trace.use_span(span):
        entry = add_ids(None, "info", {"event": f"it was {PASSWORD}", "deep": {"x": [PASSWORD]}})
    told: dict[str, object] = {}
    try:
        fail(PASSWORD)
    except ValueError:
        told = redact(None, "error", {**entry, "exc_info": True})
    exception = str(told.pop("exception"))
    assert told == {
        "event": "it was ***",
        "deep": {"x": ["***"]},
        "trace_id": f"{0xABC:032x}",
        "span_id": f"{0xDEF:016x}",
    }
    assert exception.startswith("Traceback")
    assert exception.endswith("ValueError: ***\n")
