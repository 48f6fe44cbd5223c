"""The kinds of environment, and which of them forgive."""

from enum import StrEnum


class Environment(StrEnum):
    """Where the process runs; decides how severe a finding is."""

    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def is_strict(self) -> bool:
        """Whether a `refuse` finding stops the start: everywhere but in development and test."""
        return self not in {Environment.DEVELOPMENT, Environment.TEST}


_SHORT_NAMES = {
    Environment.DEVELOPMENT: ("dev", "devel", "local"),
    Environment.TEST: ("testing", "ci"),
    Environment.STAGING: ("stage", "stg", "preprod"),
    Environment.PRODUCTION: ("prod", "prd", "live"),
}
_NAMES = {name: each for each, short in _SHORT_NAMES.items() for name in (each.value, *short)}


def is_known(name: str) -> bool:
    """Return True when a name, case aside, is that of an environment, in full or short."""
    return name.lower() in _NAMES


def environment_of(name: str | None) -> Environment:
    """Choose the environment: unset is development, an unknown name is production.

    A misspelt `prodution` must not switch the strict rules off, so it fails closed.
    """
    if not name:
        return Environment.DEVELOPMENT
    return _NAMES.get(name.lower(), Environment.PRODUCTION)
