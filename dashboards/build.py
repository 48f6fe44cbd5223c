"""Write boards from the code beside, the rules for an operator, and the contract of all signals.

Without arguments the files as they are shipped; with `--out`, a copy whose links lead somewhere.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import indent
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.board import Board, assemble
from dashboards.contract import write_contract
from dashboards.detail import POOLS, PROJECTION, PUBLISHING, SELF
from dashboards.links import Links, read_address
from dashboards.overview import OVERVIEW
from dashboards.rules import RULES, fill_limits

BOARDS = (OVERVIEW, PROJECTION, PUBLISHING, POOLS, SELF)
FOLDER = Path(__file__).parent / "grafana"
RULES_OBJECT: Final = Path(__file__).parents[1] / "otel" / "kubernetes" / "prometheus-rule.yaml"
CONTRACT: Final = Path(__file__).parents[1] / "otel" / "contract.yaml"
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


def shipped() -> Iterator[tuple[Path, str]]:
    """Give each file of the repository that is made here, with its text."""
    for board in BOARDS:
        yield FOLDER / f"{board.uid}.json", encode(board)
    rules = fill_limits(RULES.read_text(encoding="utf-8"))
    yield RULES, rules
    yield RULES_OBJECT, wrap_rules(rules)
    yield CONTRACT, write_contract()


def copied(folder: Path, links: Links) -> Iterator[tuple[Path, str]]:
    """Give each file of a copy with links of one's own, with its text."""
    for board in BOARDS:
        yield folder / "grafana" / f"{board.uid}.json", links.in_board(encode(board))
    rules = links.in_rules(RULES.read_text(encoding="utf-8"))
    yield folder / RULES.name, rules
    yield folder / RULES_OBJECT.name, wrap_rules(rules)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files; exits with 2 where the arguments do not fit together."""
    parser = argparse.ArgumentParser(prog="make dashboards", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for a copy with links of your own")
    parser.add_argument("--runbooks", help="address of the folder with the runbooks")
    parser.add_argument("--grafana", help="address of Grafana")
    given = parser.parse_args(arguments)
    if given.out is None and (given.runbooks or given.grafana):
        parser.error("links of your own go into a copy: say where with OUT=folder")
    addresses = {"runbooks": given.runbooks, "grafana": given.grafana}
    try:
        links = Links(**{name: read_address(text) for name, text in addresses.items() if text})
    except ValueError as error:
        parser.error(str(error))
    for path, text in shipped() if given.out is None else copied(given.out, links):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
