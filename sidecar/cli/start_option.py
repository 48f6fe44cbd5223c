"""Options that take a place in the log."""

import click

from sidecar.projections.log_start import FORMS, Start, read_start


def start(text: str) -> Start:
    """Read a place in the log from the command line.

    Raises:
        BadParameter: It is none.
    """
    try:
        return read_start(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not {FORMS}.") from None
