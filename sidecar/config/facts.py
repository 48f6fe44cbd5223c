"""All that the rules look at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sidecar.config.dsn import Dsn, DsnError
from sidecar.config.environ import Environ
from sidecar.config.finding import Rule, Severity, Sighting
from sidecar.config.naming import is_secret_name
from sidecar.config.placeholder import Shape, shape_of
from sidecar.config.settings import Settings
from sidecar.config.sidecar_file import SidecarFile
from sidecar.config.variable import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known when the rules are asked.

    Attributes:
        own: The project's own rules.
        examples: Values that the repository publishes in its example file.
        now: Aware UTC; expiry dates are judged by it.
        shapes: Placeholders among the secrets, by name.
    """

    environ: Environ
    settings: Settings
    own: SidecarFile
    now: datetime
    examples: Mapping[str, str] = field(default_factory=dict, repr=False)
    shapes: Mapping[str, Shape] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Judge the shape of each secret once, for the many rules that ask."""
        judged = {each.name: shape_of(each.value, each.name) for each in self.secrets()}
        shapes = {name: shape for name, shape in judged.items() if shape is not None}
        object.__setattr__(self, "shapes", shapes)

    def sighting(
        self,
        rule: Rule,
        name: str,
        message: str,
        hint: str,
        *,
        at_most: Severity = Severity.REFUSE,
    ) -> Sighting:
        """Note that a rule applies to a variable, with where its value came from."""
        return Sighting(rule, name, message, hint, self.source(name), at_most)

    def source(self, name: str) -> str | None:
        """Tell where a variable came from; `None` when it is not set."""
        variable = self.environ.get(name)
        return None if variable is None else variable.source

    def secrets(self) -> Iterator[Variable]:
        """Give every variable that is set and holds a secret, declared or not."""
        required = frozenset(self.own.required)
        for variable in self.environ:
            if variable.value.strip() and (
                variable.name in required or is_secret_name(variable.name)
            ):
                yield variable

    def real_secrets(self) -> Iterator[Variable]:
        """Give the secrets that are no placeholders, for the rules on how good a secret is."""
        return (variable for variable in self.secrets() if variable.name not in self.shapes)

    def dsn(self) -> Dsn | None:
        """Give the parsed DATABASE_URL; `None` when it is missing or cannot be parsed."""
        if self.settings.database_url is None:
            return None
        try:
            return Dsn.parse(self.settings.database_url.reveal())
        except DsnError:
            return None


Look = Callable[[Facts], Iterator[Sighting]]
