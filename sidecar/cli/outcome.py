"""Exit codes: 0 good, 1 the operation failed, 2 usage, 78 configuration refused."""

import sys
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar

import click
import uvloop

from sidecar.errors import SidecarError, UsageError
from sidecar.process.lifecycle import pass_over_signals
from sidecar.telemetry.terminal import say
from sidecar.telemetry.visible import visible_lines

EX_FAILED: Final = 1
EX_USAGE: Final = 2

T = TypeVar("T")


class SidecarGroup(click.Group):
    """Prints errors of ours as a sentence for a person instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and turn errors into exit codes."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # It may repeat what was typed, which a script may have taken from anywhere.
            vars(error)["message"] = visible_lines(error.message)
            raise
        except SidecarError as error:
            say(f"Error: {error}", err=True)
            ctx.exit(EX_USAGE if isinstance(error, UsageError) else EX_FAILED)


def end_with(task: Coroutine[Any, Any, int]) -> NoReturn:
    """Run a process to its end and exit with its code, whatever signal comes meanwhile."""
    code = finish(task)
    pass_over_signals()
    sys.exit(code)


def finish(task: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end; Ctrl-C ends it without a traceback."""
    try:
        return uvloop.run(task)
    except KeyboardInterrupt:
        sys.exit(EX_FAILED)
