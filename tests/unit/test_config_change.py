"""The report after the start: what was rotated meanwhile."""

import json
from datetime import UTC, datetime
from pathlib import Path

from msgspec.json import encode

from sidecar.config.environ import Environ, compose, reread
from sidecar.config.severity import Severity
from sidecar.lint.change import ChangeKind, changes
from sidecar.lint.linter import validate
from sidecar.wiring.live import Examination

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = "Kf3vQ8mZr1Xc6Tn0Wb5Lp9Hd4Ys7Jg2AuEiOoUyBnVxT7qRw"
NEW = "Qm7Xv2Lr9TzWb4NcYd1KfGs6JpEu0AHh3oPiRtUwVx5ZyBnM"


def mounted(folder: Path, text: str) -> Environ:
    (folder / "key").write_text(text)
    return compose({"ENVIRONMENT": "production", "SECRET_KEY_FILE": str(folder / "key")}, folder)


def test_a_rotated_file_is_told_without_either_value(tmp_path: Path) -> None:
    report = Examination(validate(mounted(tmp_path, OLD), now=NOW), {})
    assert not report.refresh()
    assert not report.report(NOW)["changes"]

    (tmp_path / "key").write_text(f"{NEW}\n")
    assert report.refresh()
    assert not report.refresh()

    said = encode(report.report(NOW)).decode()
    assert json.loads(said)["changes"] == [
        {"field": "SECRET_KEY", "kind": "rotated", "source": str(tmp_path / "key")}
    ]
    assert OLD not in said
    assert NEW not in said


def test_a_rotated_file_is_a_finding_until_it_holds_the_old_value_again(tmp_path: Path) -> None:
    report = Examination(validate(mounted(tmp_path, OLD), now=NOW), {})
    (tmp_path / "key").write_text(NEW)
    report.refresh()
    (found,) = (each for each in report.judge().findings if each.id == "ENV09")
    assert (found.field, found.severity) == ("SECRET_KEY", Severity.WARNING)
    assert found.source == str(tmp_path / "key")
    assert not [each for each in (OLD, NEW) if each in str(report.judge().findings)]

    (tmp_path / "key").write_text(OLD)
    report.refresh()
    assert "ENV09" not in {each.id for each in report.judge().findings}


def test_a_bad_new_secret_is_judged_like_one_at_boot(tmp_path: Path) -> None:
    report = Examination(validate(mounted(tmp_path, OLD), now=NOW), {})
    (tmp_path / "key").write_text("changeme")
    report.refresh()

    assert "SEC02" in {each.id for each in report.judge().findings if each.field == "SECRET_KEY"}


def test_a_file_that_is_gone_for_a_moment_keeps_its_value(tmp_path: Path) -> None:
    environ = mounted(tmp_path, OLD)
    (tmp_path / "key").unlink()

    assert changes(environ, reread(environ)) == ()


def test_added_removed_and_rotated_variables_are_told_by_name() -> None:
    before = Environ.of({"A": "1", "B": "2", "SAME": "x"})
    now = Environ.of({"A": "3", "C": "4", "SAME": "x"})

    assert [(each.field, each.kind) for each in changes(before, now)] == [
        ("A", ChangeKind.ROTATED),
        ("B", ChangeKind.REMOVED),
        ("C", ChangeKind.ADDED),
    ]
