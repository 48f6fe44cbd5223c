"""Good secrets written where they are missing in an env file, and never over a value."""

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from sidecar.config.secret import generate
from sidecar.config.text import uncommented
from sidecar.config.variable_name import is_secret_name
from sidecar.lint.finding import Finding

_LACKING: Final = frozenset({"SEC01", "OPS01"})
_BAD: Final = frozenset({f"SEC{number:02}" for number in (2, 3, 4, 5, 7, 8, 9, 10)})
_ISSUED_ELSEWHERE = re.compile(r"(?:^|_)API_?KEY$|(?:^|_)(?:CLIENT|WEBHOOK)_(?:ID|SECRET)$")
_ASSIGNMENT = re.compile(r"^(\s*(?:export\s+)?([A-Za-z_]\w*)\s*=)(.*)$", re.DOTALL)

Generate = Callable[[str], str]


def repairable(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the variables that lack a secret which can be made here, in the order of findings.

    Keys of providers are issued by them, and a password must also be set where it is checked.
    """
    missing = (each.field for each in findings if each.is_active and each.id in _LACKING)
    return tuple(dict.fromkeys(filter(_is_made_here, missing)))


def left_alone(findings: Iterable[Finding]) -> tuple[tuple[str, str], ...]:
    """Return the variables whose secret has to be put right by hand, each with the reason."""
    reasons = ((each.field, _why_left_alone(each)) for each in findings if each.is_active)
    return tuple({name: reason for name, reason in reasons if reason}.items())


def repaired(text: str, names: Iterable[str], make: Generate) -> tuple[str, tuple[str, ...]]:
    """Return an env file with secrets where they were missing, and which were written.

    A name without a value gets one in its line, unless a later line has one; a name that is not
    there gets a line at the end. Line ends stay as they are.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(end)
    written: list[str] = []
    for name in names:
        matches = {number: _ASSIGNMENT.match(line) for number, line in enumerate(lines)}
        places = {number: each for number, each in matches.items() if each and each[2] == name}
        if any(uncommented(f" {each[3]}") for each in places.values()):
            continue
        if places:
            number, place = places.popitem()
            lines[number] = f"{place[1]}{make(name)}"
        else:
            is_open = lines and lines[-1] == ""
            lines[len(lines) - bool(is_open) :] = [f"{name}={make(name)}", ""]
        written.append(name)
    return end.join(lines), tuple(written)


def repair(path: Path, names: Iterable[str], lengths: Mapping[str, int]) -> tuple[str, ...]:
    """Write missing secrets into an env file; a new file can be read by its owner only.

    `lengths` says how many bytes a key must decode to, by variable.

    Raises:
        OSError: The file cannot be read or written.
        UnicodeDecodeError: It is not UTF-8 text.
    """
    text = path.read_bytes().decode("utf-8") if path.exists() else ""

    def make(name: str) -> str:
        return secrets.token_hex(lengths[name]) if name in lengths else generate().reveal()

    fresh, written = repaired(text, names, make)
    if written:
        _replace(path, fresh)
    return written


def _is_made_here(name: str) -> bool:
    return (
        is_secret_name(name)
        and not _ISSUED_ELSEWHERE.search(name)
        and not name.endswith(("PASSWORD", "PASS", "PWD"))
    )


def _why_left_alone(finding: Finding) -> str | None:
    if finding.id in _BAD:
        return "it has a value, and no value is written over"
    if finding.id in _LACKING and not _is_made_here(finding.field):
        return "it is issued elsewhere, or has to be set there too"
    return None


def _replace(path: Path, text: str) -> None:
    """Put the new file in the old one's place in one step, with its owner, group and mode."""
    target = path.resolve()
    content = text.encode("utf-8")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        beside.touch(mode=0o600, exist_ok=False)
        beside.write_bytes(content)
        if target.exists() and not _take_after(beside, target.stat()):
            # Only root can give a file away: one of another user is written where it lies.
            target.write_bytes(content)
            return
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _take_after(path: Path, earlier: os.stat_result) -> bool:
    """Set owner, group and mode to those of another; return True when that was allowed."""
    try:
        if (earlier.st_uid, earlier.st_gid) != (path.stat().st_uid, path.stat().st_gid):
            os.chown(path, earlier.st_uid, earlier.st_gid)
    except PermissionError:
        return False
    path.chmod(stat.S_IMODE(earlier.st_mode))
    return True
