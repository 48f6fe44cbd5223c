"""`sidecar token`: the way into the guarded pages."""

import click

from sidecar.telemetry.terminal import say
from sidecar.wiring.access import show_link, show_token
from sidecar.wiring.boot import prepare


@click.command()
@click.option("--link", is_flag=True, help="Print a link that lets a browser in for ten minutes.")
@click.option("--rotate", is_flag=True, help="Make another token; the one before is worth nothing.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port that `serve` was given.")
def token(*, link: bool, rotate: bool, port: int | None) -> None:
    """Print the token of the guarded pages, which is made where SIDECAR_TOKEN is not set."""
    settings = prepare("token", quiet=True).settings
    shown = show_token(settings, rotate=rotate) if rotate or not link else ""
    say(show_link(settings, port) if link else shown)
