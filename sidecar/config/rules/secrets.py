"""Rules about secrets that are missing, or that are none."""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from sidecar.config.facts import Facts, Look
from sidecar.config.finding import Rule, Severity, Sighting
from sidecar.config.naming import is_url_name
from sidecar.config.placeholder import Shape, shape_of
from sidecar.config.variable import Variable

GENERATE = "Generate one with: sidecar secret (or: openssl rand -hex 32)."

SEC01 = Rule(
    "SEC01",
    "a required secret missing, empty or blank",
    relaxed=Severity.WARNING,
    strict=Severity.REFUSE,
    refs=("OWASP ASVS 2.10", "12-factor III"),
)
SEC02 = Rule(
    "SEC02",
    "a placeholder or example in place of a secret",
    relaxed=Severity.WARNING,
    strict=Severity.REFUSE,
    refs=("OWASP ASVS 2.10", "CWE-1392"),
)
SEC03 = Rule(
    "SEC03",
    "a secret equal to the value in the repository's `.env.example`",
    relaxed=Severity.WARNING,
    strict=Severity.REFUSE,
    refs=("OWASP ASVS 2.10", "CWE-798"),
)
SEC11 = Rule(
    "SEC11",
    "none of a group of variables set, of which one is needed",
    relaxed=Severity.WARNING,
    strict=Severity.REFUSE,
)


def missing_secret(facts: Facts) -> Iterator[Sighting]:
    """See required secrets without a value."""
    for name in dict.fromkeys(("SECRET_KEY", *facts.own.required)):
        if not facts.environ.text(name):
            yield facts.sighting(SEC01, name, f"{name} is required in production.", GENERATE)


def placeholder(facts: Facts) -> Iterator[Sighting]:
    """See secrets, declared or not, that have the shape of a placeholder."""
    for name, shape in facts.shapes.items():
        yield facts.sighting(
            SEC02,
            name,
            f"{name} contains a placeholder value: {shape}.",
            "Set the actual key of the provider." if "API_KEY" in name else GENERATE,
        )


def placeholder_in_url(facts: Facts) -> Iterator[Sighting]:
    """See addresses, but for DATABASE_URL, whose password is a placeholder."""
    for variable in facts.environ:
        if variable.name == "DATABASE_URL" or not is_url_name(variable.name):
            continue
        shape = _password_shape(variable)
        if shape is not None:
            yield facts.sighting(
                SEC02,
                variable.name,
                f"The password inside {variable.name} is a placeholder: {shape}.",
                "Set the actual password.",
            )


def published_example(facts: Facts) -> Iterator[Sighting]:
    """See secrets that everybody can read in the repository."""
    for variable in facts.real_secrets():
        if facts.examples.get(variable.name) == variable.value:
            yield facts.sighting(
                SEC03,
                variable.name,
                f"{variable.name} is the value of the repository's example file.",
                f"Rotate it: everybody who can read the repository knows it. {GENERATE}",
            )


def empty_group(facts: Facts) -> Iterator[Sighting]:
    """See groups of which no variable is set; a placeholder in one is told by itself."""
    for group, names in facts.own.any_of.items():
        if names and not any(facts.environ.text(name) for name in names):
            yield facts.sighting(
                SEC11,
                names[0],
                f"None of {', '.join(names)} is set; one is needed.",
                _group_hint(group),
            )


def _group_hint(group: str) -> str:
    if group == "ai":
        return (
            "Set one of them. A service without AI writes any_of = {} into sidecar.toml, "
            "or under [tool.sidecar] in pyproject.toml."
        )
    return f"Set one of them, or take the group {group} out of any_of."


def _password_shape(variable: Variable) -> Shape | None:
    try:
        password = urlsplit(variable.value).password
    except ValueError:
        return None
    return shape_of(unquote(password), variable.name) if password else None


RULES = (SEC01, SEC02, SEC03, SEC11)
LOOKS: tuple[Look, ...] = (
    missing_secret,
    placeholder,
    placeholder_in_url,
    published_example,
    empty_group,
)
