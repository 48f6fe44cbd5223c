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
    assert re.match(r"Error: .+\.$", last), last
    for part in parts:
        assert part in last


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
