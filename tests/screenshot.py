"""`python -m tests.screenshot`: take the README's picture of the status page, from the demo."""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.incidents.patience import eventually
from tests.incidents.program import finish, launch
from tests.port import free_port

PICTURE: Final = Path(__file__).parents[1] / "docs" / "images" / "status-page.png"
LIMIT_BYTES: Final = 120_000
WIDTH_AND_HEIGHT: Final = (1180, 800)
# Long enough for the lag of the last minutes to be a line.
SHOWN_SECONDS: Final = 120.0
FAILURE_SECONDS: Final = 90.0


async def main() -> None:
    """Run the demo until an event fails, and take the picture then."""
    browser = shutil.which("chromium") or sys.exit("chromium is not installed")
    port = str(free_port())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # What a person starts needs no more than this.
        words = ("demo", "--port", port, "--poison-every", "45")
        async with launch(folder, *words, PYTHONPATH="") as program:
            program.address = f"http://127.0.0.1:{port}"
            await eventually(program.is_ready, FAILURE_SECONDS)
            await asyncio.sleep(SHOWN_SECONDS)

            async def has_failed() -> bool:
                return bool((await program.status())["failures"])

            await eventually(has_failed, FAILURE_SECONDS)
            ended = await asyncio.to_thread(finish, folder, "token", "--link", "--port", port)
            await take(browser, ended.out.strip())


async def take(browser: str, address: str) -> None:
    """Write the picture of a page; end the program when it is too large for the README."""
    process = await asyncio.create_subprocess_exec(
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        "--window-size={},{}".format(*WIDTH_AND_HEIGHT),
        *(f"--screenshot={PICTURE}", address),
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0 or PICTURE.stat().st_size > LIMIT_BYTES:
        sys.exit(f"{PICTURE} was not taken, or has more than {LIMIT_BYTES} bytes")


if __name__ == "__main__":
    asyncio.run(main())
