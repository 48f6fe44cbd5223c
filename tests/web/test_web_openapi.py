import asyncio
import sys
from typing import Any

EXAMPLES = "15"
LIMIT_SECONDS = 60.0


async def test_schemathesis_finds_no_fault_with_the_published_document(
    start: Any, tmp_path: Any
) -> None:
    """Every path is asked in ways that the document allows, and in ways that it does not."""
    listener = await start()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{listener.url}/openapi.json",
        # Its answer goes on until the watcher leaves; test_web_stream.py asks it.
        "--exclude-path=/events",
        # No ticket can be made up; test_web_session.py asks it.
        "--exclude-path=/login",
        "--header=Authorization: Bearer correct-horse",
        f"--max-examples={EXAMPLES}",
        "--seed=4711",
        "--no-color",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        output, _ = await child.communicate()
    assert child.returncode == 0, output.decode()
    assert "No issues found" in output.decode(), output.decode()
