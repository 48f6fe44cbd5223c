"""Rules about secrets that are missing, or that are none."""

import re
from urllib.parse import unquote, urlsplit

from sidecar.config.text import uncommented
from sidecar.config.variable import Variable
from sidecar.lint.finding import Rule, Violation, Violations
from sidecar.lint.placeholder import shape_of
from sidecar.lint.published import is_unmistakable, origin_of
from sidecar.lint.rule_context import Checks, RuleContext

GENERATE = "Generate one with: sidecar secret (or: openssl rand -hex 32)."

SEC01 = Rule(
    "SEC01", "a required secret missing, empty or blank", refs=("OWASP ASVS 2.10", "12-factor III")
)
SEC02 = Rule(
    "SEC02",
    "a placeholder, example or default in place of a secret, also inside an address",
    refs=("OWASP ASVS 2.10", "CWE-1392"),
)
SEC03 = Rule(
    "SEC03",
    "a secret equal to a value in the repository's example or compose file",
    refs=("OWASP ASVS 2.10", "CWE-798"),
)
SEC04 = Rule(
    "SEC04",
    "a secret that is published in documentation or a well-known repository",
    refs=("OWASP ASVS 2.10", "CWE-798"),
)
SEC11 = Rule("SEC11", "none of a group of variables set, of which one is needed")
_USER_INFO = re.compile(r"://([^/:\s]*):([^/\s]+)@[^@]*$")


def missing_secret(context: RuleContext) -> Violations:
    """Find required secrets without a value."""
    for name in dict.fromkeys(("SECRET_KEY", *context.project.required)):
        if context.is_missing(name):
            yield Violation(SEC01, name, f"{name} is required in production.", GENERATE)


def placeholder(context: RuleContext) -> Violations:
    """Find secrets, declared or not, that have the shape of a placeholder."""
    for name, shape in context.shapes.items():
        message = f"{name} contains a placeholder value: {shape}."
        hint = "Set the actual key of the provider." if "API_KEY" in name else GENERATE
        yield Violation(SEC02, name, message, hint)


def default_in_address(context: RuleContext) -> Violations:
    """Find addresses, but for DATABASE_URL, whose password is a placeholder or a default."""
    for variable in context.environ:
        if variable.name == "DATABASE_URL" or "://" not in variable.value:
            continue
        reason = reason_in_address(variable)
        if reason is not None:
            message = f"The password inside {variable.name} is none: {reason}."
            hint = "Set the actual password."
            yield Violation(SEC02, variable.name, message, hint)


def reason_in_address(variable: Variable) -> str | None:
    """Return why an address's password is none; `None` when it is one or there is none."""
    user, password, others = credentials_of(uncommented(variable.value))
    if not password:
        return None
    if password.lower() in {user.lower(), *others}:
        return "it repeats user, host or database"
    return reason_against(password, variable.name)


def credentials_of(address: str) -> tuple[str, str, frozenset[str]]:
    """Return user, password, and host and database in lower case; empty where there are none."""
    others: frozenset[str] = frozenset()
    try:
        parts = urlsplit(address)
        others = frozenset({(parts.hostname or "").lower(), parts.path.strip("/").lower()} - {""})
    except ValueError:
        pass
    found = _USER_INFO.search(address)
    return (unquote(found[1]), unquote(found[2]), others) if found else ("", "", others)


def published_example(context: RuleContext) -> Violations:
    """Find secrets whose values stand in the repository's example files."""
    for variable in context.real_secrets():
        if context.examples.has(variable.name, uncommented(variable.value)):
            message = f"{variable.name} is a value of the repository's example or compose file."
            hint = f"Rotate it: everybody who can read the repository knows it. {GENERATE}"
            yield Violation(SEC03, variable.name, message, hint)


def published_secret(context: RuleContext) -> Violations:
    """Find secrets that are published on the web; unmistakable ones under any name."""
    secrets = {each.name for each in context.secrets}
    for variable in context.environ:
        bare = uncommented(variable.value)
        is_judged = variable.name in secrets or is_unmistakable(bare)
        origin = origin_of(bare) if is_judged and variable.name not in context.shapes else None
        if origin is not None:
            message = f"{variable.name} is a published secret ({origin})."
            hint = f"Rotate it: everybody can look it up. {GENERATE}"
            yield Violation(SEC04, variable.name, message, hint)


def empty_group(context: RuleContext) -> Violations:
    """Find groups of which no variable is set; a placeholder in one is found by another check."""
    for group, names in context.project.any_of.items():
        if names and all(map(context.is_missing, names)):
            message = f"None of {', '.join(names)} is set; one is needed."
            hint = _group_hint(group)
            yield Violation(SEC11, names[0], message, hint)


def reason_against(bare: str, name: str) -> str | None:
    """Return why a value is no secret: it is a placeholder, or published as a default."""
    return shape_of(bare, name) or ("it is published" if origin_of(bare) else None)


def _group_hint(group: str) -> str:
    if group == "ai":
        return (
            "Set one of them. A service without AI writes any_of = {} into sidecar.toml, "
            "or under [tool.sidecar] in pyproject.toml."
        )
    return f"Set one of them, or take the group {group} out of any_of."


CHECKS: Checks = (
    missing_secret,
    placeholder,
    default_in_address,
    published_example,
    published_secret,
    empty_group,
)
