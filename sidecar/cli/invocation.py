"""How a command runs, and what it exits with: 0, or a code of `process/exit_code.py`."""

import logging
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import click
import uvloop

from sidecar.errors import SidecarError, UsageError
from sidecar.process.exit_code import EX_FAILED, EX_USAGE
from sidecar.process.lifecycle import pass_over_signals
from sidecar.telemetry.logs import tell_apart
from sidecar.telemetry.terminal import say
from sidecar.telemetry.uncaught import tell_exit
from sidecar.telemetry.visible import visible_lines

T = TypeVar("T")


class SidecarGroup(click.Group):
    """Prints the errors of the sidecar as a sentence instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and turn errors into exit codes; no secret is printed."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # It may repeat what was typed, which a script may have taken from anywhere.
            vars(error)["message"] = visible_lines(error.message)
            raise
        except SidecarError as error:
            _print_error(error)
            ctx.exit(EX_USAGE if isinstance(error, UsageError) else EX_FAILED)
        except SystemExit as ending:
            # Code of the project may exit with a text, which the interpreter would print unmasked.
            ctx.exit(tell_exit(ending))


def _print_error(error: SidecarError) -> None:
    """Print it at the command line; a process logs it."""
    if not tell_apart(logging.CRITICAL, str(error), event=f"sidecar.process.{error.code}"):
        say(f"Error: {error}", err=True)


def end_with(task: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a process to its end and exit with its code; later signals are ignored."""
    code = finish(task)
    pass_over_signals()
    sys.exit(code)


def finish(task: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end; Ctrl-C ends it without a traceback."""
    try:
        return uvloop.run(task)
    except KeyboardInterrupt:
        sys.exit(EX_FAILED)
