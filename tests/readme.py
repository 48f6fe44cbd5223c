"""The parts of README.md that are generated, each between two comments with its name."""

import re
import sys
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parents[1] / "README.md"


def read_part(name: str) -> str:
    """Return a part; end the program when there is no such place."""
    found = _place(name).search(README.read_text(encoding="utf-8"))
    if found is None:
        sys.exit(f"README.md has no markers for {name}")
    return found.group().strip()


def write_part(name: str, content: str) -> None:
    """Put a part in the place of the one before."""
    read_part(name)
    # A replacement that is a text would have its backslashes read.
    text = _place(name).sub(
        lambda _: f"\n{content.strip()}\n\n", README.read_text(encoding="utf-8")
    )
    README.write_text(text, encoding="utf-8")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name}: begin -->\n).*?(?=<!-- {name}: end -->)", re.DOTALL)
