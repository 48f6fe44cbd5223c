"""Values of which compose loses a part."""

from sidecar.config.finding import Severity, Violation
from sidecar.config.mount import ENV06


def loss(
    name: str, source: str, line: int | None, at_most: Severity = Severity.WARNING
) -> Violation:
    """Say that a reference in a value came to nothing.

    The reference's name is left out: where a password holds a `$`, it is a part of the password.
    """
    return Violation(
        ENV06,
        name,
        f"{name} holds a $ before a name that is not set; compose puts nothing in its place.",
        "Set that name in the shell or in .env; write $$ for a $ that is meant, or put the value "
        "of an env file in single quotes.",
        source,
        at_most=at_most,
        line=line,
    )
