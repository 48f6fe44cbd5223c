"""Rules about the names and the raw text of variables."""

import re

from sidecar.config.environment import is_known
from sidecar.config.settings import declarations
from sidecar.config.text import has_mark, is_quoted, tidy
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_near, is_secret_name
from sidecar.lint.fault_rules import ENV03
from sidecar.lint.finding import INFO, REFUSE, WARNING, Rule, Violation, Violations
from sidecar.lint.rule_context import Checks, RuleContext

ENV01 = Rule(
    "ENV01",
    "ENVIRONMENT missing or unknown; an unknown name counts as production",
    relaxed=INFO,
    refs=("12-factor III",),
)
ENV02 = Rule("ENV02", "a variable that looks like a misspelt known one", WARNING, WARNING)
_UNEXPANDED = re.compile(r"\$\{[A-Za-z_][^{}]{0,200}\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
# Linux gives a process at most 128 KiB in one variable (MAX_ARG_STRLEN).
LONGEST_VALUE = 128 * 1024
_SHORTEST_JUDGED = 5
_PREFIX = "SIDECAR_"
_SHARED_START = 3
_SHARED_END = 9


def unknown_environment(context: RuleContext) -> Violations:
    """Find an ENVIRONMENT that is not set, or set to no name we know."""
    name = context.environ.text("ENVIRONMENT")
    allowed = "development, test, staging or production"
    if not name and context.environ.assumed is not None:
        message = f"ENVIRONMENT is not set here; it is judged as for {context.environ.environment}."
        hint = "Set it, or pass --environment: a process without it counts as development."
        yield Violation(ENV01, "ENVIRONMENT", message, hint, at_most=WARNING)
    elif not name:
        message = "ENVIRONMENT is not set; it counts as development."
        hint = f"Set it to {allowed}; only the last two refuse a bad configuration."
        yield Violation(ENV01, "ENVIRONMENT", message, hint, at_most=INFO)
    elif not is_known(name):
        message = "ENVIRONMENT is not a known name; it counts as production."
        hint = f"Set it to {allowed}."
        yield Violation(ENV01, "ENVIRONMENT", message, hint)


def misspelt_name(context: RuleContext) -> Violations:
    """Find names within two edits of a known variable that is itself not set."""
    known = {each.name for each in declarations()} | context.project.named()
    missing = [name for name in known if not context.environ.text(name)]
    starts = {name[:_SHARED_START] for name in missing}
    ends = {name[-_SHARED_END:] for name in missing}
    for variable in context.environ:
        name = variable.name
        is_far = name[:_SHARED_START] not in starts and name[-_SHARED_END:] not in ends
        if name in known or name.removesuffix("_FILE") in known or len(name) < _SHORTEST_JUDGED:
            continue
        candidates = () if is_far else missing
        meant = next((each for each in candidates if _may_be_meant(name, each)), None)
        if meant is not None:
            message = f"{name} is not a variable that is read; did you mean {meant}?"
            hint = f"Rename it to {meant}, or remove it."
            yield Violation(ENV02, name, message, hint)
        elif name.startswith(_PREFIX):
            message = f"{name} is not a variable of the sidecar."
            hint = "Remove it, or look its name up in docs/reference/variables.md."
            yield Violation(ENV02, name, message, hint)


def kept_mark(context: RuleContext) -> Violations:
    """Find what editors and container tools leave inside a value."""
    declared = {each.name for each in declarations()}
    for variable in context.environ:
        if len(variable.value) > LONGEST_VALUE:
            message = f"{variable.name} is longer than {LONGEST_VALUE // 1024} KiB."
            hint = "No process can be given so much in a variable; put it into a file."
            yield Violation(ENV03, variable.name, message, hint)
            continue
        is_secret = is_secret_name(variable.name) or variable.name == "DATABASE_URL"
        if not is_secret and variable.name not in declared:
            continue
        mark = mark_in(variable)
        if mark is not None:
            what, hint = mark
            is_mild = not is_secret or "comment" in what
            message = f"{variable.name} {what}."
            at_most = WARNING if is_mild else REFUSE
            yield Violation(ENV03, variable.name, message, hint, at_most=at_most)


def mark_in(variable: Variable) -> tuple[str, str] | None:
    """Return what is left inside a value, with its place, and what to do; never the value."""
    value = variable.value
    if has_mark(value):
        hint = "Save the file as UTF-8 without BOM."
        return "begins with a byte order mark, at character 1", hint
    if is_quoted(value.strip()):
        hint = "Leave the quotes out: docker --env-file and Kubernetes keep them."
        return "still has its quotes, at the first and last character", hint
    if value.endswith("\r"):
        hint = "Save the file with Unix line ends (dos2unix)."
        return f"ends with a carriage return, at character {len(value)}", hint
    if value != value.strip() and not _ends_as_a_file(value):
        place = 1 if value[0].isspace() else len(value.rstrip()) + 1
        return f"has blanks or line breaks around it, from character {place} on", "Remove them."
    return _mark_inside(tidy(value))


def _ends_as_a_file(value: str) -> bool:
    """Return True when the only blank around it is the line end that a file of its kind ends with.

    A key in PEM or a JSON document is text of several lines; OpenSSH refuses a key without the
    last line end.
    """
    text = value.removesuffix("\n")
    is_document = "\n" in text or (text.startswith("{") and text.endswith("}"))
    return is_document and text == text.strip()


def _mark_inside(bare: str) -> tuple[str, str] | None:
    if found := _UNEXPANDED.search(bare):
        return f"has an unexpanded ${{...}} at character {found.start() + 1}", (
            "Write the value itself: only a shell or compose expands it."
        )
    if found := _CONTROL.search(bare):
        return f"has a control character at character {found.start() + 1}", "Copy it again."
    if found := _NOT_UTF8.search(bare):
        return f"is not UTF-8 text at character {found.start() + 1}", "Store it as UTF-8."
    if (place := bare.find(" #")) >= 0:
        return f"seems to hold a comment from character {place + 1} on", (
            "Put comments on lines of their own: docker --env-file keeps them in the value."
        )
    return None


def _may_be_meant(name: str, known: str) -> bool:
    # Vendors differ in their first letters and share the rest (GENAI_API_KEY, OPENAI_API_KEY):
    # two edits count only after a common start. It also spares comparing most pairs.
    if name[:_SHARED_START] == known[:_SHARED_START]:
        return is_near(name, known)
    return name[-_SHARED_END:] == known[-_SHARED_END:] and is_near(name, known, edits=1)


CHECKS: Checks = (unknown_environment, misspelt_name, kept_mark)
