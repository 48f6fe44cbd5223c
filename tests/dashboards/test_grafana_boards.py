"""The dashboards are what the code makes, and keep the rules of grafana/dashboard-linter."""

import re
from typing import Any

import pytest

from dashboards.build import BOARDS, FOLDER, encode
from dashboards.promql import SERVICE
from tests.dashboards import source
from tests.dashboards.expression import metric_names

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
each_board = pytest.mark.parametrize("board", source.boards(), ids=lambda board: board["uid"])


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def test_the_committed_files_are_what_the_code_writes() -> None:
    written = {f"{board.uid}.json": encode(board) for board in BOARDS}
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == written, "run `make dashboards` and commit dashboards/grafana"


ROWS = {
    "sidecar": ["Now", "Objectives", "Work"],
    "sidecar-projection": ["Projections"],
    "sidecar-publisher": ["Publisher"],
    "sidecar-pool": ["Pool"],
    "sidecar-self": ["Health", "Configuration"],
}


def test_there_are_five_dashboards() -> None:
    assert {board["uid"] for board in source.boards()} == ROWS.keys()


@each_board
def test_rows_follow_the_order_in_which_one_looks(board: dict[str, Any]) -> None:
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert rows == ROWS[board["uid"]]


@each_board
def test_panel_ids_are_unique_and_belong_to_their_row(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids)
    hundreds = [panel["id"] for panel in board["panels"] if panel["type"] == "row"]
    assert all(one % 100 == 0 for one in hundreds)


@each_board
def test_panels_fill_the_grid_without_overlap(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, top = place.get("x", 0), place.get("y", 0)
        cells = {
            (x, y) for x in range(left, left + place["w"]) for y in range(top, top + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert left + place["w"] <= 24
        taken |= cells


@each_board
def test_template_datasource(board: dict[str, Any]) -> None:
    variable = variables(board)["datasource"]
    assert variable["type"] == "datasource"
    assert variable["query"] == "prometheus"


@each_board
@pytest.mark.parametrize("name", ["job", "instance", "projection", "pool"])
def test_template_job_and_template_instance(board: dict[str, Any], name: str) -> None:
    variable = variables(board)[name]
    assert variable["datasource"] == SOURCE
    assert variable["multi"] is True
    assert variable["includeAll"] is True
    assert variable["allValue"] == ".+"


@each_board
@pytest.mark.parametrize("name", SERVICE)
def test_a_label_that_no_scrape_need_add_may_be_absent(board: dict[str, Any], name: str) -> None:
    variable = variables(board)[name]
    assert variable["allValue"] == ".*"
    assert variable["multi"] is True
    assert variable["includeAll"] is True


@each_board
def test_a_choice_narrows_those_after_it(board: dict[str, Any]) -> None:
    names = [name for name, one in variables(board).items() if one["type"] == "query"]
    assert names[:5] == [*SERVICE, "job", "instance"]
    for number, name in enumerate(names):
        narrowed = re.findall(r"\$(\w+)", variables(board)[name]["query"])
        assert narrowed == names[: min(number, 5)]


@each_board
def test_template_on_time_change_reload(board: dict[str, Any]) -> None:
    queried = [one for one in variables(board).values() if one["type"] == "query"]
    assert {one["refresh"] for one in queried} == {2}


@each_board
def test_template_label_promql(board: dict[str, Any]) -> None:
    for variable in variables(board).values():
        if variable["type"] == "query":
            call = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert call
            assert metric_names(call[1]) <= source.metrics().keys()


@each_board
def test_uneditable_dashboard(board: dict[str, Any]) -> None:
    assert board["editable"] is False


@each_board
def test_links_lead_to_the_other_dashboards_and_keep_time_and_variables(
    board: dict[str, Any],
) -> None:
    (link,) = board["links"]
    assert link["tags"] == board["tags"] == ["sidecar"]
    assert link["keepTime"] is True
    assert link["includeVars"] is True


@each_board
def test_annotations_mark_alerts_deployments_and_rebuilds(board: dict[str, Any]) -> None:
    marks = {mark["name"]: mark for mark in board["annotations"]["list"]}
    assert marks.keys() == {"Firing alerts", "Deployments", "Rebuilds"}
    assert all(mark["enable"] and mark["datasource"] == SOURCE for mark in marks.values())
