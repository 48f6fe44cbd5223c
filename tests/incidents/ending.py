"""What a program that ended told of its reasons: a sentence, or findings."""

import json
import re
from typing import Any

from tests.incidents.program import Ended


def assert_sentence(ended: Ended, code: int, *parts: str) -> None:
    """The last words are for a person: one sentence that names what is wrong, no traceback."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.out + ended.err
    last = ended.err.strip().splitlines()[-1]
    if last.startswith("{"):
        # A process that logs JSON tells it as a line of its log.
        last = f"Error: {expect_json(ended.out + ended.err)[-1]['message']}"
    assert re.match(r"Error: .+\.$", last), last
    for part in parts:
        assert part in last


def expect_json(text: str) -> list[dict[str, Any]]:
    """Every line of a log is an object that says when, how bad and what."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    return lines


def findings(ended: Ended) -> set[tuple[str, str, str]]:
    """Return (id, severity, field) of each finding that a program logged."""
    lines = [json.loads(line) for line in ended.out.splitlines()]
    return {
        (line["finding"], line["severity"], line["field"])
        for line in lines
        if line["event"] == "sidecar.configuration.found"
    }


def reported(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the same of a report."""
    return {(found["id"], found["severity"], found["field"]) for found in report["findings"]}
