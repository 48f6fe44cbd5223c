"""Write `dashboards/grafana/*.json` from the code beside this file."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.board import Board, assemble
from dashboards.detail import POOLS, PROJECTION, PUBLISHING, SELF
from dashboards.overview import OVERVIEW

BOARDS = (OVERVIEW, PROJECTION, PUBLISHING, POOLS, SELF)
FOLDER = Path(__file__).parent / "grafana"


def encode(board: Board) -> str:
    """Give the dashboard's file as text, keys sorted so that a diff shows only what changed."""
    return json.dumps(assemble(board), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write one file for each dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        path = FOLDER / f"{board.uid}.json"
        path.write_text(encode(board), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
