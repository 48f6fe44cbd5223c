"""What a project adapts about the rules, once it has been read."""

from collections.abc import Iterator
from datetime import date

import msgspec

from sidecar.config.environment import Environment
from sidecar.config.severity import Severity

AI_KEYS = ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY")
NEVER_SILENCED = frozenset({"SEC03", "SEC04"})


class Silence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a rule is silenced, and how long.

    Attributes:
        until: The last day on which it is; `None` for good.
        fields: The variables that it is quiet about; empty for all.
    """

    reason: str
    until: date | None = None
    fields: tuple[str, ...] = ()


class ProjectRules(msgspec.Struct, frozen=True):
    """What a project adapts.

    Attributes:
        required: Secrets that must be set, besides the usual ones.
        any_of: Groups of variables of which one at least must be set; `any_of = {}` is for a
            service without AI.
        pairs: Variables that are set together or not at all.
        pattern: Regular expressions that whole values must match, by variable.
        bytes: Length of keys once decoded from hexadecimal or base64, by variable.
        deprecated: What to use instead, by variable; empty text for one that is just gone.
        rules: Custom rules in code, as `module:name`.
        severity: By rule id, for all environments or for each by its name.
        silenced: Reasons by rule id.
        file: Where it was read from; `None` for the defaults.
    """

    required: tuple[str, ...] = ()
    any_of: dict[str, tuple[str, ...]] = msgspec.field(default_factory=lambda: {"ai": AI_KEYS})
    pairs: tuple[tuple[str, ...], ...] = ()
    pattern: dict[str, str] = msgspec.field(default_factory=dict)
    bytes: dict[str, int] = msgspec.field(default_factory=dict)
    deprecated: dict[str, str] = msgspec.field(default_factory=dict)
    rules: tuple[str, ...] = ()
    severity: dict[str, Severity | dict[Environment, Severity]] = msgspec.field(
        default_factory=dict
    )
    silenced: dict[str, str | Silence] = msgspec.field(default_factory=dict)
    file: str | None = None

    def reason(self, rule: str, field: str, on: date) -> str | None:
        """Return the reason that silences a rule about a variable on a day, if there is one.

        Published secrets are never silenced.
        """
        silence = self._silence(rule)
        if silence is None or rule in NEVER_SILENCED or not silence.reason.strip():
            return None
        is_over = silence.until is not None and on > silence.until
        is_about = not silence.fields or field in silence.fields
        return None if is_over or not is_about else silence.reason

    def severity_in(self, rule: str, environment: Environment) -> Severity | None:
        """Return the severity that the project chose; `None` leaves the rule's own."""
        chosen = self.severity.get(rule)
        return chosen.get(environment) if isinstance(chosen, dict) else chosen

    def grouped(self) -> frozenset[str]:
        """Return every variable of every any-of group."""
        return frozenset(name for names in self.any_of.values() for name in names)

    def named(self) -> frozenset[str]:
        """Return every variable that the file speaks of."""
        listed = (*self.pattern, *self.bytes, *self.deprecated, *self.required)
        return self.grouped().union(listed, *self.pairs)

    def silences(self) -> Iterator[tuple[str, Silence]]:
        """Yield every silence by its rule."""
        for rule in self.silenced:
            silence = self._silence(rule)
            if silence is not None:
                yield rule, silence

    def _silence(self, rule: str) -> Silence | None:
        given = self.silenced.get(rule)
        return Silence(given) if isinstance(given, str) else given
