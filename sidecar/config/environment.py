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


_ALIASES = {
    "dev": Environment.DEVELOPMENT,
    "devel": Environment.DEVELOPMENT,
    "local": Environment.DEVELOPMENT,
    "testing": Environment.TEST,
    "ci": Environment.TEST,
    "stage": Environment.STAGING,
    "stg": Environment.STAGING,
    "preprod": Environment.STAGING,
    "prod": Environment.PRODUCTION,
    "prd": Environment.PRODUCTION,
    "live": Environment.PRODUCTION,
}
_NAMES = _ALIASES | {each.value: each for each in Environment}


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
