"""A failure that tells a secret: neither the dead letter nor the command shows it."""

import asyncio
import json
from pathlib import Path

from tests.incidents.ledger import Ledger
from tests.incidents.patience import eventually
from tests.incidents.program import environment, finish, serve

CANARY = "c4naryKeyOfTheProvider0123456789"
LEAKING = """
import os
import service
from sidecar.events.publisher import EventPublisher
from sidecar.projections.projection import Projection

class Leaking(Projection):
    name = "leaking"

    async def handle(self, event: service.Paid) -> None:
        raise LookupError("401 for url https://ai.example/v1?key=" + os.environ["GEMINI_API_KEY"])

publisher = EventPublisher(service.types)
publisher.add_projection(Leaking())
"""
LETTER = (
    "SELECT error_message, traceback, last_failed_at FROM sidecar.dead_letters"
    " WHERE category <> 'retry'"
)


async def test_a_letter_neither_keeps_nor_shows_a_secret(
    tmp_path: Path, database: str, ledger: Ledger
) -> None:
    (tmp_path / "leaking.py").write_text(LEAKING)
    secret = {"GEMINI_API_KEY": CANARY}
    environ = environment(tmp_path, ENVIRONMENT="development", DATABASE_URL=database, **secret)
    async with serve(tmp_path, database, "leaking:publisher", **secret) as program:
        await program.line("sidecar.lease.taken")
        await ledger.pay("a")

        async def read_letter() -> list[tuple[str, str, object]]:
            return await ledger.query(LETTER)

        [first] = await eventually(read_letter)
        retried = await asyncio.to_thread(finish, tmp_path, "dead-letters", "retry", "1", **environ)
        assert retried.code == 1
        [second] = await read_letter()
        assert CANARY not in program.output()
    assert first[2] != second[2]
    for message, trace, _ in (first, second):
        assert message == "401 for url https://ai.example/v1?key=***"
        assert "LookupError: 401" in trace
        assert CANARY not in trace
    await kept_in_plain_text(ledger)
    text = await asyncio.to_thread(finish, tmp_path, "dead-letters", "show", "1", **environ)
    assert "the key is ***" in text.out
    data = await asyncio.to_thread(
        finish, tmp_path, "dead-letters", "show", "1", "--format", "json", **environ
    )
    shown = json.loads(data.out)
    assert (shown["error_message"], shown["traceback"]) == ("the key is ***", "key ***")
    assert CANARY not in text.out + data.out


async def kept_in_plain_text(ledger: Ledger) -> None:
    """Make the letter one that was kept where the secret was not known."""
    await ledger.query(
        "UPDATE sidecar.dead_letters SET error_message = 'the key is ' || $1,"
        " traceback = 'key ' || $1",
        CANARY,
    )
