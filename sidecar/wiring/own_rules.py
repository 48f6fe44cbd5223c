"""Rules in code at a start: asked here, or in a process of their own."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from sidecar.config import own_rule
from sidecar.config.environ import Environ
from sidecar.config.finding import Severity, Sighting
from sidecar.config.own import SidecarFile
from sidecar.config.sidecar_file import ENV07

ASK_SECONDS: Final = 10.0


def ask_here(own: SidecarFile, environ: Environ) -> tuple[Sighting, ...]:
    """Import the project's rules and ask them; what cannot be asked is a sighting itself."""
    rules, faults = own_rule.load(own.rules)
    return (*faults, *own_rule.judge(rules, environ))


async def ask_apart(
    own: SidecarFile, environ: Mapping[str, str], *, within_seconds: float = ASK_SECONDS
) -> tuple[Sighting, ...]:
    """Have the rules asked by a process of their own, so that none of their code runs here.

    Never raises for what they do. On cancellation, and when the time is over, the process is
    killed.

    Args:
        own: The project's file; without rules in it nothing is started.
        environ: Of the process.
        within_seconds: How long the rules may take, their import included.
    """
    if not own.rules:
        return ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "own-rules"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        # What user code prints may hold anything.
        stderr=asyncio.subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_seconds):
            said, _ = await process.communicate()
        return msgspec.json.decode(said, type=tuple[Sighting, ...])
    except TimeoutError:
        # A machine that is busy for a moment must not keep a service down.
        late = _unasked(own, f"they took longer than {within_seconds:g} s")
        return (replace(late, at_most=Severity.ERROR),)
    except msgspec.DecodeError:
        return (_unasked(own, f"their process ended with status {process.returncode}"),)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _unasked(own: SidecarFile, why: str) -> Sighting:
    return Sighting(
        ENV07,
        "rules",
        f"The rules {', '.join(own.rules)} could not be asked: {why}.",
        "Run `sidecar check` in the same directory: it asks them, too.",
    )
