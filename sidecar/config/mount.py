"""Secrets mounted as files: `NAME_FILE` holds the path of the value of `NAME`."""

from pathlib import Path

from sidecar.config.bounded import FileTooLargeError, SilentPipeError, read_bounded
from sidecar.config.fault import Fault, FaultKind
from sidecar.config.severity import Severity
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_mounted_name

LIMIT_BYTES = 1024 * 1024


def mount(layer: dict[str, Variable]) -> list[Fault]:
    """Replace each `NAME_FILE` of a layer by the `NAME` that its file holds."""
    faults = []
    for pointer in [each for each in layer.values() if each.name.endswith("_FILE")]:
        name = pointer.name.removesuffix("_FILE")
        if not is_mounted_name(name) or not pointer.value.strip():
            continue
        if name in layer:
            faults.append(_both_set(name, layer[name].source))
            continue
        try:
            layer[name] = Variable(name, read_text(pointer.value.strip()), pointer.value.strip())
        except (OSError, ValueError) as error:
            faults.append(_unreadable_mount(pointer, reason_of(error)))
    return faults


def read_text(path_text: str) -> str:
    """Read a small file, without a byte order mark and its last line end.

    Raises:
        OSError: It is not there, not a regular file, or may not be read.
        ValueError: It is too large, not UTF-8, or its path holds a NUL.
    """
    path_text.encode()  # a path that is not UTF-8 could not be shown as the source
    content = read_bounded(Path(path_text), LIMIT_BYTES)
    return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")


def reason_of(error: Exception) -> str:
    """Return why a file could not be read, without its path and without its content.

    The path is left out because people put the secret itself into `NAME_FILE`.
    """
    reasons: dict[type[Exception], str] = {
        FileNotFoundError: "a file that does not exist",
        PermissionError: "a file that this user may not read",
        IsADirectoryError: "something that is not a regular file",
        FileTooLargeError: "a file larger than 1 MiB",
        UnicodeDecodeError: "a file that is not UTF-8 text",
        SilentPipeError: "a pipe that does not come to an end",
    }
    return reasons.get(type(error), "a file that cannot be read")


def _both_set(name: str, source: str) -> Fault:
    message = f"{name} and {name}_FILE are both set; {name} is used."
    hint = f"Unset one of them: keep {name}_FILE for a mounted secret."
    return Fault(FaultKind.FILE, name, message, hint, source, at_most=Severity.WARNING)


def _unreadable_mount(pointer: Variable, reason: str) -> Fault:
    name = pointer.name.removesuffix("_FILE")
    message = f"{pointer.name} names {reason}."
    hint = f"Mount the file and let this user read it; a value itself belongs into {name}."
    return Fault(FaultKind.FILE, pointer.name, message, hint, pointer.source)
