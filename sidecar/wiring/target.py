"""TARGET: `module:attribute`, an `EventPublisher` or a callable that returns one."""

import importlib

from sidecar.config.importing import open_working_directory
from sidecar.errors import TargetError
from sidecar.events.publisher import EventPublisher


def load_target(target: str) -> EventPublisher:
    """Import a module and take the publisher out of it.

    The working directory is importable, as it is for `python -m`. What the module itself raises
    while it is imported passes through.

    Raises:
        TargetError: There is no such module or attribute, or it is no publisher.
    """
    module_name, attribute = split_target(target)
    found: object = _import(target, module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise TargetError(f"TARGET {target!r}: {module_name} has no {attribute!r}.")
        found = getattr(found, name)
    if callable(found) and not isinstance(found, EventPublisher):
        found = found()
    if not isinstance(found, EventPublisher):
        raise TargetError(
            f"TARGET {target!r} is a {type(found).__name__}; it has to be an EventPublisher or a "
            "callable without parameters that returns one."
        )
    return found


def split_target(target: str) -> tuple[str, str]:
    """Return module and attribute, imported by nobody yet.

    Raises:
        TargetError: It is not of that form.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise TargetError(f"TARGET {target!r} is not `module:attribute`, such as shop:publisher.")
    return module_name, attribute


def _import(target: str, module_name: str) -> object:
    open_working_directory()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise
        raise TargetError(
            f"TARGET {target!r}: there is no module {error.name!r}; start from the directory "
            "that holds it, or set PYTHONPATH."
        ) from error
