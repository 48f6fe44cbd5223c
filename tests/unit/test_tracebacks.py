import io
import json
import logging
from types import SimpleNamespace
from typing import NoReturn

import pytest

from sidecar.telemetry.logs import JsonFormatter, LogHandler, TextFormatter, tell_apart
from sidecar.telemetry.redaction import Redactor
from sidecar.telemetry.tracebacks import MOST_KINDS, Tracebacks


def fail(text: str, kind: type[Exception], cause: Exception | None) -> NoReturn:
    raise kind(text) from cause


def caught(
    text: str, kind: type[Exception] = ValueError, cause: Exception | None = None
) -> Exception:
    try:
        fail(text, kind, cause)
    except (ValueError, TypeError) as error:
        return error


def elsewhere(text: str) -> Exception:
    try:
        fail(text, ValueError, None)
    except ValueError as error:
        return error


def record(error: Exception | None, event: str = "sidecar.event.failed") -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("shop", logging.ERROR, __file__, 1, "failed", None, info)
    made.event = event
    return made


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(mono=0.0)


@pytest.fixture
def written(clock: SimpleNamespace) -> Tracebacks:
    return Tracebacks(lambda: float(clock.mono))


def test_a_storm_of_equal_tracebacks_is_written_once_in_ten_seconds_and_counted(
    written: Tracebacks, clock: SimpleNamespace
) -> None:
    full, told, left_out = 0, 0, 0
    for number in range(1000):
        clock.mono = number * 0.025
        text, left_out = written.write(record(caught(f"order {number}")))
        full += text.startswith("Traceback")
        told += left_out if text.startswith("Traceback") else 0
        assert text.endswith(f"ValueError: order {number}\n")

    assert full == 3
    assert full + told + left_out == 1000


def test_what_differs_in_event_type_place_or_cause_is_written(written: Tracebacks) -> None:
    different = [
        record(caught("a")),
        record(caught("a"), "sidecar.check.failed"),
        record(caught("a", TypeError)),
        record(elsewhere("a")),
        record(caught("a", cause=KeyError("a"))),
        record(ExceptionGroup("two", [caught("a")])),
        record(ExceptionGroup("two", [elsewhere("a")])),
    ]

    assert {written.write(each)[1] for each in different} == {0}
    assert [written.write(each)[1] for each in different] == [1] * len(different)


def test_what_is_remembered_is_bounded(written: Tracebacks, clock: SimpleNamespace) -> None:
    for number in range(3 * MOST_KINDS):
        written.write(record(caught("a"), f"event.{number}"))

    assert len(written._kinds) == MOST_KINDS
    assert written.write(record(caught("a"), "event.0")) == (
        written.write(record(caught("a"), "another"))[0],
        0,
    )


def test_a_chain_of_causes_without_end_is_no_trouble(written: Tracebacks) -> None:
    first, second = caught("a"), caught("b")
    first.__context__, second.__context__ = second, first
    for _ in range(100):
        deeper = caught("c")
        deeper.__context__, first = first, deeper

    assert written.write(record(first))[1] == 0


@pytest.mark.parametrize("repeats", [0, 2])
def test_a_line_says_how_many_were_left_out(repeats: int) -> None:
    formatter = JsonFormatter("shop", "worker-1", Redactor())
    text = TextFormatter(Redactor())
    for _ in range(repeats):
        formatter.format(record(caught("a")))
        text.format(record(caught("a")))
    line = json.loads(formatter.format(record(caught("b"))))

    assert line["exception"].endswith("ValueError: b")
    assert ("Traceback" in line["exception"]) is (repeats == 0)
    assert line.get("tracebacks_left_out", 0) == repeats
    assert ("left out: 2" in text.format(record(caught("b")))) is (repeats == 2)
    assert "exception" not in json.loads(formatter.format(record(None)))


def test_another_handler_that_wrote_the_record_changes_nothing(written: Tracebacks) -> None:
    for left_out in range(3):
        each = record(caught("a"))
        logging.Formatter().format(each)
        assert written.write(each)[1] == left_out


def test_what_the_log_cannot_take_is_a_line_of_the_same_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    assert not tell_apart(logging.ERROR, "no log", event="x")
    handler = LogHandler(io.StringIO())
    handler.setFormatter(JsonFormatter("shop", "probe", Redactor()))
    root.addHandler(handler)
    assert tell_apart(logging.CRITICAL, "the end", event="sidecar.process.uncaught")
    handler.stream.close()
    handler.handle(record(None))

    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in told] == ["sidecar.process.uncaught", "sidecar.log.unwritten"]
