from collections.abc import AsyncIterator

import pytest

from tests.incidents.ledger import Ledger, open_ledger


@pytest.fixture
async def ledger(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Ledger]:
    """The application beside the program, on the same database."""
    async with open_ledger(database, request.config.getoption("--seed")) as ledger:
        yield ledger
