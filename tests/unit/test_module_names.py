"""A module's name says where something is: it stands in one room only."""

from collections import defaultdict
from pathlib import Path

import sidecar

ROOT = Path(sidecar.__file__).parent
# What a dead letter is, and the statements about it: one subject on both sides of a port.
SEVERAL = {"__init__", "dead_letter"}


def test_a_module_name_stands_in_one_room() -> None:
    rooms: defaultdict[str, set[str]] = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        rooms[path.stem].add(str(path.parent.relative_to(ROOT)))

    assert {name: found for name, found in rooms.items() if len(found) > 1}.keys() == SEVERAL
