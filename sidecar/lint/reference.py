"""The tables of docs/reference: every variable, every rule."""

from collections.abc import Sequence

from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.declaration import Declaration, as_text
from sidecar.config.settings import declarations
from sidecar.lint.rules import RULES

Row = tuple[str, ...]

VARIABLE_HEADER: Row = ("Variable", "Default", "Meaning")
RULE_HEADER: Row = ("Id", "Development, test", "Staging, production", "What it finds")


def variable_rows() -> tuple[Row, ...]:
    """Return name, default and meaning of every variable; a default in production in brackets."""
    return tuple((each.name, _defaults(each), each.meaning) for each in declarations())


def rule_rows() -> tuple[Row, ...]:
    """Return id, both severities and subject of every rule, sorted by id."""
    return tuple(
        (rule.id, rule.relaxed.value if rule.relaxed else "-", rule.strict.value, rule.detects)
        for rule in RULES
    )


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """Lay rows out as a table; the first column as code."""
    lines = [header, tuple("---" for _ in header)]
    lines += [(f"`{first}`", *rest) for first, *rest in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _defaults(declaration: Declaration) -> str:
    usual = _text(declaration.default)
    if declaration.strict is None or declaration.strict == declaration.default:
        return usual
    return f"{usual} (production: {_text(declaration.strict)})"


def _text(default: object) -> str:
    if default is None or default == ():
        return "-"
    return ",".join(default.origins) if isinstance(default, CorsPolicy) else as_text(default)
