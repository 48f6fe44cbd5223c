"""The former name of `sidecar.lint.custom_rule`, for rules that import it from here."""

from importlib import import_module


def __getattr__(name: str) -> object:
    """Return the same object from where it is now; imported on use, for `lint` is above."""
    return getattr(import_module("sidecar.lint.custom_rule"), name)
