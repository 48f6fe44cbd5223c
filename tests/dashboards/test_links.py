"""A pager gets links to follow, and the files that are shipped stay as they are."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import BOARDS, main
from dashboards.links import read_address
from dashboards.rules import RULES
from tests.dashboards import source
from tests.dashboards.command import run

RUNBOOKS = "https://git.example.com/ops/runbooks"
GRAFANA = "https://grafana.example.com/tools/"
GIVEN = (f"--runbooks={RUNBOOKS}", f"--grafana={GRAFANA}")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    main([f"--out={tmp_path / 'copy'}", *GIVEN])
    return tmp_path / "copy"


def annotations(path: Path) -> dict[str, dict[str, str]]:
    content: dict[str, Any] = source.read(path)
    groups = content.get("spec", content)["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: rule["annotations"] for rule in rules}


@pytest.mark.parametrize("name", ["rules.yaml", "prometheus-rule.yaml"])
def test_every_alert_of_a_copy_has_links_that_lead_somewhere(copy: Path, name: str) -> None:
    told = annotations(copy / name)
    assert told.keys() == source.alerts().keys()
    for alert, words in told.items():
        assert words["runbook_url"] == f"{RUNBOOKS}/{alert}.md"
        path = source.alerts()[alert]["annotations"]["dashboard_url"]
        assert words["dashboard_url"] == f"{GRAFANA}{path}"


def test_prometheus_accepts_a_copy(binary: Callable[[str], str], copy: Path) -> None:
    run(binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", copy / "rules.yaml")


def test_panels_of_a_copy_name_runbooks_where_they_are(copy: Path) -> None:
    for board in BOARDS:
        shown = json.loads((copy / "grafana" / f"{board.uid}.json").read_text(encoding="utf-8"))
        texts = " ".join(panel.get("description", "") for panel in shown["panels"])
        pages = re.findall(r"Runbook: (\S+)", texts)
        assert pages
        assert all(re.fullmatch(rf"{RUNBOOKS}/\w+\.md", page) for page in pages)


def test_one_address_alone_leaves_the_other_as_it_is(tmp_path: Path) -> None:
    main([f"--out={tmp_path}", f"--grafana={GRAFANA}"])
    words = annotations(tmp_path / RULES.name)["SidecarDown"]
    assert words["runbook_url"] == "dashboards/runbooks/SidecarDown.md"
    assert words["dashboard_url"].startswith(f"{GRAFANA}d/sidecar?")


def test_links_of_ones_own_never_go_into_the_files_that_are_shipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*GIVEN])
    assert ended.value.code == 2
    assert "OUT=folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address",
    [
        *("git.example.com/runbooks", "file:///etc/runbooks", "https://", "https://a b/"),
        *("https://a/{{ $labels.job }}", "https://a/#x", "https://a/\nseverity: info"),
    ],
)
def test_what_is_no_address_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no address"):
        read_address(address)
    with pytest.raises(SystemExit):
        main([f"--out={tmp_path}", f"--runbooks={address}"])
    assert not list(tmp_path.iterdir())
