"""Two sessions of one database and a follower of its head."""

from collections.abc import AsyncIterator

import pytest

from sidecar.postgres.connection import RawConnection
from sidecar.postgres.log.safe_head_follower import SafeHeadFollower
from tests.postgres.stage import session


@pytest.fixture
async def reader(database: str) -> AsyncIterator[RawConnection]:
    async with session(database, "reader") as connection:
        yield connection


@pytest.fixture
async def writer(database: str) -> AsyncIterator[RawConnection]:
    async with session(database, "late writer") as connection:
        yield connection


@pytest.fixture
def follower() -> SafeHeadFollower:
    return SafeHeadFollower()
