"""What Grafana is provisioned with fits the dashboards and the data sources that they ask."""

from typing import Any

from tests.dashboards import source

PROVISIONING = source.DASHBOARDS / "provisioning"


def test_dashboards_come_from_files_and_cannot_be_changed_in_the_browser() -> None:
    (provider,) = source.read(PROVISIONING / "dashboards" / "sidecar.yaml")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True


def test_every_kind_of_data_source_that_a_dashboard_asks_for_is_there() -> None:
    sources: list[dict[str, Any]] = source.read(PROVISIONING / "datasources" / "sidecar.yaml")[
        "datasources"
    ]
    asked = {
        variable["query"]
        for board in source.boards()
        for variable in board["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert asked <= {one["type"] for one in sources}
    assert len([one for one in sources if one.get("isDefault")]) == 1


def test_metrics_traces_and_logs_lead_to_each_other() -> None:
    sources = source.read(PROVISIONING / "datasources" / "sidecar.yaml")["datasources"]
    data = {one["uid"]: one.get("jsonData", {}) for one in sources}
    (exemplar,) = data["prometheus"]["exemplarTraceIdDestinations"]
    assert exemplar["datasourceUid"] == "tempo"
    assert data["tempo"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert data["loki"]["derivedFields"][0]["datasourceUid"] == "tempo"
