"""Copies of rules and routes in which time passes faster, everything else as it is shipped."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from tests.dashboards import source

SPEED: Final = 20
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_IN_EXPRESSION: Final = re.compile(r"(\[|offset )(\d+)([smhd])")


def shorten(duration: str) -> str:
    """Give a duration of Prometheus, divided; a second at least, unless it is none."""
    seconds = int(duration[:-1]) * _UNITS[duration[-1]]
    return f"{max(seconds // SPEED, 1) if seconds else 0}s"


def shorten_expression(expr: str) -> str:
    return _IN_EXPRESSION.sub(lambda m: m[1] + shorten(m[2] + m[3]), expr)


def short_rules() -> dict[str, Any]:
    rules: dict[str, Any] = source.read(source.RULES)
    for group in rules["groups"]:
        if "interval" in group:
            group["interval"] = shorten(group["interval"])
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["expr"] = shorten_expression(rule["expr"])
        for key in {"for", "keep_firing_for"} & rule.keys():
            rule[key] = shorten(rule[key])
    return rules


def short_routes(webhook: str) -> dict[str, Any]:
    """Give the routing with every receiver replaced by one webhook, told apart by its path."""
    config: dict[str, Any] = source.read(source.ALERTMANAGER)
    route = config["route"]
    for one in (route, *route["routes"]):
        for key in {"group_wait", "group_interval", "repeat_interval"} & one.keys():
            one[key] = shorten(one[key])
    config["receivers"] = [
        {
            "name": receiver["name"],
            "webhook_configs": [{"url": f"{webhook}/{receiver['name']}", "send_resolved": True}],
        }
        for receiver in config["receivers"]
    ]
    return {key: config[key] for key in ("route", "inhibit_rules", "receivers")}


def flush_seconds() -> int:
    """Give for how long an alert that nothing mutes any more may wait for its group's next turn."""
    return int(short_routes("")["route"]["group_interval"].removesuffix("s"))


def write_all(folder: Path, *, target: str, alertmanager: str, webhook: str) -> None:
    """Write what Prometheus and Alertmanager are started with."""
    prometheus: dict[str, Any] = source.read(source.RULES.with_name("prometheus.yaml"))
    prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    prometheus["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    prometheus["scrape_configs"][0] |= {
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [target]}],
    }
    for name, content in (
        ("rules.yaml", short_rules()),
        ("prometheus.yaml", prometheus),
        ("alertmanager.yaml", short_routes(webhook)),
    ):
        (folder / name).write_text(yaml.safe_dump(content))
