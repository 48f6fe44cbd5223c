"""Write `dashboards/grafana/*.json` from the code beside, and the rules for an operator."""

import json
from pathlib import Path
from textwrap import indent
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.board import Board, assemble
from dashboards.detail import POOLS, PROJECTION, PUBLISHING, SELF
from dashboards.overview import OVERVIEW

BOARDS = (OVERVIEW, PROJECTION, PUBLISHING, POOLS, SELF)
FOLDER = Path(__file__).parent / "grafana"
RULES: Final = Path(__file__).parent / "prometheus" / "rules.yaml"
RULES_OBJECT: Final = Path(__file__).parents[1] / "otel" / "kubernetes" / "prometheus-rule.yaml"
_OBJECT_HEAD: Final = """\
# Written by `make dashboards` from dashboards/prometheus/rules.yaml, for the Prometheus operator.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sidecar
spec:
"""


def encode(board: Board) -> str:
    """Give the dashboard's file as text, keys sorted so that a diff shows only what changed."""
    return json.dumps(assemble(board), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def wrap_rules(rules: str) -> str:
    """Give the rules as an object of Kubernetes."""
    return _OBJECT_HEAD + indent(rules[rules.index("groups:") :], "  ")


def main() -> None:
    """Write one file for each dashboard, and the object with the rules."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        path = FOLDER / f"{board.uid}.json"
        path.write_text(encode(board), encoding="utf-8")
        print(f"wrote {path}")
    RULES_OBJECT.write_text(wrap_rules(RULES.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {RULES_OBJECT}")


if __name__ == "__main__":
    main()
