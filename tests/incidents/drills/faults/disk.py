"""What goes wrong with the disk under the server that the sidecar brings along."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from sidecar.postgres.embedded import embedded_server
from tests.incidents.drills.drill import Alert, Check, Drill, Log, Metric, Sentence, Signals
from tests.incidents.drills.stand import Plan, Stand

# Room for the server, and for more than what the check calls full.
DISK: Final = "400m"
CHUNK_BYTES: Final = 1024**2


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a disk in memory for the length of the block."""
    # Not pytest's own folder: its path is too long for the server's socket.
    folder = Path(tempfile.mkdtemp(prefix="sidecar-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "sidecar-drill", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


@asynccontextmanager
async def on_small_disk(stand: Stand) -> AsyncIterator[None]:
    """Let the sidecar use the server that comes with it, on a disk that is soon full."""
    with small_disk() as disk:
        server = embedded_server(disk / "postgres")
        stand.dsn = await asyncio.to_thread(server.__enter__)
        stand.rig["disk"] = disk
        # Without an address the sidecar takes its own server, which it finds running.
        stand.variables |= {"DATABASE_URL": "", "SIDECAR_DATA_DIR": str(disk)}
        try:
            yield
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


@asynccontextmanager
async def full(stand: Stand) -> AsyncIterator[None]:
    ballast = stand.rig["disk"] / "ballast"
    await asyncio.to_thread(fill, ballast)
    yield
    ballast.unlink()


def fill(path: Path) -> None:
    """Write until nothing is left."""
    chunk = bytes(CHUNK_BYTES)
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(chunk)


DRILLS: Final = (
    Drill(
        name="disk of the embedded server full",
        injected=f"ballast on the disk in memory ({DISK}) that the server's data lies on",
        fault=full,
        signals=Signals(
            alert=Alert("SidecarDiskFull"),
            check=Check("disk", "fail", "disk.full"),
            metric=Metric('sidecar_check_status{check="disk",status="fail"} == 1'),
            log=Log("sidecar.check.changed", {"check": "disk", "status": "fail"}),
            letter=None,
            sentence=Sentence(r"disk .{0,40}fail"),
        ),
        quiet=("sidecar_dead_letters > 0",),
        plan=Plan(prepare=on_small_disk),
    ),
)
