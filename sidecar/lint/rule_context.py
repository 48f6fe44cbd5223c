"""What is known when the rules are asked, and how a rule answers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from sidecar.config.confidential import secret_variables
from sidecar.config.dsn import Dsn
from sidecar.config.environ import Environ
from sidecar.config.project_rules import ProjectRules
from sidecar.config.settings import Settings
from sidecar.config.text import uncommented
from sidecar.config.variable import Variable
from sidecar.config.variable_name import is_uncertain_name
from sidecar.lint.example import Examples
from sidecar.lint.finding import Violations
from sidecar.lint.placeholder import shape_of
from sidecar.lint.shape import SPEAKING, Shape

_NEIGHBOURS = ("user", "username", "login", "db", "database", "dbname", "db_name", "schema", "host")
_LONGEST_REPEATED = 24
_DRIVER_DEFAULTS = ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLMODE")


@dataclass(frozen=True)  # without slots, which leave no room for what is cached
class RuleContext:
    """What is known when the rules are asked.

    Attributes:
        project: What the project adapts.
        examples: Values that the repository publishes.
        now: Aware UTC; expiry dates are compared with it.
    """

    environ: Environ
    settings: Settings
    project: ProjectRules
    now: datetime
    examples: Examples = field(default_factory=Examples, repr=False)

    @cached_property
    def secrets(self) -> tuple[Variable, ...]:
        """Every variable that name or value make a secret, declared or not, where set."""
        return tuple(secret_variables(self.environ, self.project))

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Placeholders among the secrets, by name."""
        neighbours = frozenset(_neighbours(self.environ))
        shapes = {each.name: _shape(each, neighbours) for each in self.secrets}
        return {name: shape for name, shape in shapes.items() if shape is not None}

    @cached_property
    def dsn(self) -> Dsn | None:
        """The parsed DATABASE_URL; `None` when it is missing or cannot be parsed."""
        url = self.settings.database_url
        return None if url is None else Dsn.find(url.reveal(), self.driver_defaults)

    def is_missing(self, name: str) -> bool:
        """Return True when a variable has no value, and none is promised from elsewhere."""
        return not self.environ.text(name) and not self.environ.is_promised(name)

    def real_secrets(self) -> Iterator[Variable]:
        """Yield the secrets that are no placeholders, for the rules on how good a secret is."""
        return (variable for variable in self.secrets if variable.name not in self.shapes)

    @property
    def driver_defaults(self) -> dict[str, str]:
        """What the driver would take from the environment for an address that leaves it out."""
        return {name: self.environ.text(name) for name in _DRIVER_DEFAULTS}


def _shape(variable: Variable, neighbours: frozenset[str]) -> Shape | None:
    bare = uncommented(variable.value)
    # One user may stand under two names; only a secret says something by repeating one.
    is_judged = not _is_neighbour(variable) and not is_uncertain_name(variable.name)
    if is_judged and bare.lower() in neighbours:
        return Shape.NEIGHBOUR
    shape = shape_of(bare or variable.value, variable.name)
    return None if is_uncertain_name(variable.name) and shape not in SPEAKING else shape


def _neighbours(environ: Environ) -> Iterator[str]:
    """Yield what people know without asking: names of users, databases and hosts."""
    for variable in filter(_is_neighbour, environ):
        text = uncommented(variable.value).lower()
        if text and len(text) <= _LONGEST_REPEATED:
            yield text


def _is_neighbour(variable: Variable) -> bool:
    return variable.name.lower().endswith(_NEIGHBOURS)


Checks = tuple[Callable[[RuleContext], Violations], ...]
DsnChecks = tuple[Callable[[RuleContext, Dsn], Violations], ...]
"""Checks of a DATABASE_URL that can be parsed and is no example."""
