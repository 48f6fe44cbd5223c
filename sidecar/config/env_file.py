"""The `.env` file of a developer's working directory."""

from collections.abc import Mapping
from pathlib import Path

from sidecar.config import dotenv
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.mount import read_text, reason_of
from sidecar.config.severity import Severity
from sidecar.config.variable import ENV_FILE, Variable


def read(path: Path, shell: Mapping[str, str]) -> tuple[dict[str, Variable], list[Fault]]:
    """Return the file's variables, and what is wrong in it by line; a missing file has neither.

    Args:
        path: The file.
        shell: What `${NAME}` is taken from, after earlier lines of the file.
    """
    try:
        if not path.exists():
            return {}, []
        text = read_text(str(path))
    except (OSError, ValueError) as error:
        hint = f"Put {ENV_FILE} right; it is read in development only."
        message = f"{ENV_FILE} is {reason_of(error)}."
        fault = Fault(FaultKind.FILE, ENV_FILE, message, hint, ENV_FILE, at_most=Severity.WARNING)
        return {}, [fault]
    return dotenv.read(text, ENV_FILE, shell)
