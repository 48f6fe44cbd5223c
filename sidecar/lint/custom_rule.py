"""Rules that a project writes in code, beside those that it writes into its file."""

import importlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sidecar.config.environ import Environ
from sidecar.config.importing import open_working_directory
from sidecar.config.secret import MASK
from sidecar.config.severity import Severity
from sidecar.config.variable_name import is_secret_name, is_secret_value
from sidecar.lint.fault_rules import ENV07
from sidecar.lint.finding import Rule, Violation, Violations

_SHORTEST_MASKED = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a custom rule has to say about a variable.

    Attributes:
        field: The variable's name.
        message: What is wrong; a secret in it is masked.
        hint: What to do about it.
    """

    field: str
    message: str
    hint: str


CustomCheck = Callable[[Environ], Iterable[Complaint]]


@dataclass(frozen=True, slots=True)
class CustomRule:
    """A rule and the function that sees where it applies; made by `rule`."""

    rule: Rule
    check: CustomCheck

    def __call__(self, environ: Environ) -> Iterable[Complaint]:
        """Ask the function itself, as before it was decorated."""
        return self.check(environ)


def rule(
    rule_id: str,
    detects: str,
    *,
    development: Severity | None = Severity.WARNING,
    production: Severity = Severity.REFUSE,
    refs: tuple[str, ...] = (),
) -> Callable[[CustomCheck], CustomRule]:
    """Make a rule of a function that takes the environment and yields complaints.

    Args:
        rule_id: Stable, such as `SHOP01`; silences refer to it.
        detects: One line for people.
        development: Severity in development and test; `None` keeps it quiet there.
        production: Severity in staging and production.
        refs: Where the advice comes from.
    """
    made = Rule(rule_id, detects, relaxed=development, strict=production, refs=refs)
    return lambda check: CustomRule(made, check)


def load(names: Sequence[str]) -> tuple[tuple[CustomRule, ...], tuple[Violation, ...]]:
    """Import rules named as `module:name`, or all rules of a `module`.

    Modules of the working directory are found. It runs code of the project: the probe process
    leaves it to others.
    """
    if names:
        open_working_directory()
    rules: list[CustomRule] = []
    faults: list[Violation] = []
    for name in names:
        try:
            found = _find(name)
        except Exception as error:
            logger.debug("A rule could not be imported", exc_info=True)
            faults.append(_fault(name, f"cannot be imported: {type(error).__name__}"))
            continue
        rules += found
        if not found:
            faults.append(_fault(name, "is no rule; put @rule above the function"))
    return tuple(rules), tuple(faults)


def judge(rules: Sequence[CustomRule], environ: Environ) -> Violations:
    """Ask every rule; one that raises becomes a violation itself."""
    for each in rules:
        try:
            complaints = list(each.check(environ))
        except Exception as error:
            logger.debug("A rule raised", exc_info=True)
            yield _fault(each.rule.id, f"raised {type(error).__name__}")
            continue
        for complaint in complaints:
            yield _violation(each.rule, complaint, environ)


def _find(name: str) -> list[CustomRule]:
    module_name, _, attribute = name.partition(":")
    module = importlib.import_module(module_name)
    found = [getattr(module, attribute)] if attribute else list(vars(module).values())
    return [each for each in found if isinstance(each, CustomRule)]


def _violation(made: Rule, complaint: Complaint, environ: Environ) -> Violation:
    message, hint = _masked(complaint.message, environ), _masked(complaint.hint, environ)
    return Violation(made, complaint.field, message, hint).at(environ.get(complaint.field))


def _masked(text: str, environ: Environ) -> str:
    for variable in environ:
        is_secret = is_secret_name(variable.name) or is_secret_value(variable.value)
        for value in {variable.value, variable.value.strip()}:
            if len(value) >= _SHORTEST_MASKED and (is_secret or "://" in value):
                text = text.replace(value, MASK)
    return text


def _fault(name: str, what: str) -> Violation:
    hint = "Run the rule by itself in a test; its message stays out of here, for it may leak."
    return Violation(ENV07, "rules", f"The rule {name} {what}.", hint)
