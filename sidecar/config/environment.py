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


def is_known(name: str) -> bool:
    """Tell whether a value of ENVIRONMENT, case aside, names an environment."""
    return name.lower() in {each.value for each in Environment}


def environment_of(name: str | None) -> Environment:
    """Choose the environment: unset is development, an unknown name is production.

    A misspelt `prodution` must not switch the strict rules off, so it fails closed.
    """
    if not name:
        return Environment.DEVELOPMENT
    return Environment(name.lower()) if is_known(name) else Environment.PRODUCTION
