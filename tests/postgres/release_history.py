"""Releases of one service by seed, each of which changes something of the one before."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.postgres.release_code import NAME, Code

ABOUT: Final = ("Placed", "Paid", "Refunded", "Cancelled", "Shipped")
NAMES: Final = (NAME, "noted", "kept")
RELEASES: Final = 4


def write_history(chance: random.Random) -> list[Code]:
    """Return the releases, oldest first."""
    names = NAMES if chance.random() < 0.25 else (NAME,)
    counts = (1, 2, 3) if chance.random() < 0.25 else (chance.choice((1, 1, 3)),)
    return [
        replace(
            code,
            partitions=chance.choice(counts),
            name=names[number * len(names) // RELEASES],
        )
        for number, code in enumerate(_change_types(chance))
    ]


def _change_types(chance: random.Random) -> Iterator[Code]:
    """Yield what each release knows of types."""
    known = chance.sample(ABOUT, 2)
    handled: list[str] = chance.sample(known, chance.randint(1, 2))
    renamed: set[str] = set()
    retired: set[str] = set()
    newer: set[str] = set()
    for _ in range(RELEASES):
        yield Code(
            tuple(known),
            None if chance.random() < 0.2 else tuple(handled),
            frozenset(renamed),
            frozenset(retired),
            newer=frozenset(newer),
        )
        fresh = [about for about in ABOUT if about not in known and about not in retired]
        if fresh and chance.random() < 0.7:
            known = [*known, chance.choice(fresh)]
        if chance.random() < 0.7:
            handled = chance.sample(known, chance.randint(1, len(known)))
        if chance.random() < 0.3:
            renamed = renamed | {chance.choice(known)}
        if chance.random() < 0.15:
            newer = newer | {chance.choice(known)}
        gone = [about for about in known if about not in handled and about not in renamed]
        if gone and chance.random() < 0.3:
            about = chance.choice(gone)
            known, retired = [one for one in known if one != about], retired | {about}
