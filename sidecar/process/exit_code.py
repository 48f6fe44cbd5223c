"""What a process ends with, so that whatever started it knows what to do; 0 is good."""

from typing import Final

EX_FAILED: Final = 1
EX_USAGE: Final = 2
"""It was started in a way that cannot work: starting it again helps nobody."""

EX_CONFIG: Final = 78
"""The configuration is refused."""
