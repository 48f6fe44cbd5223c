"""Setups as a worker runs them at its start, and what their rows say then."""

from functools import partial

from sidecar.events.subscriber import Connection
from sidecar.postgres.checkpoints.projection_setup import Setups
from sidecar.postgres.checkpoints.release import Release
from sidecar.postgres.connection import open_session
from tests.postgres.shop import Journal
from tests.postgres.stage import Stage, session


class Broken(Journal):
    """Its setup fails with whatever it is given."""

    def __init__(self, name: str = "broken", *, partitions: int = 1) -> None:
        super().__init__(name, partitions=partitions)
        self.error: BaseException | None = None
        self.recovers = False

    async def setup(self, connection: Connection) -> None:
        await super().setup(connection)
        error = self.error
        if self.recovers:
            self.error = None
        if error is not None:
            raise error


def make_setups(stage: Stage, service: str | None = None) -> Setups:
    return Setups(
        stage.subscriptions.values(),
        partial(open_session, stage.dsn, application_name="setup"),
        Release(stage.handled, stage.publisher.types.retired),
        service,
    )


def names_of(setups: Setups) -> set[str]:
    return {subscription.name for subscription in setups.ready}


async def set_up(stage: Stage, service: str | None = None) -> set[str]:
    """Do what a worker does at its start, and return what is ready then."""
    setups = make_setups(stage, service)
    async with session(stage.dsn) as connection:
        await setups.register(connection)
    await setups.run()
    return names_of(setups)


async def row_of(stage: Stage, name: str) -> tuple[str, str | None, int]:
    row = await stage.pool.fetchrow(
        "SELECT state, detail, position FROM sidecar.checkpoints WHERE projection = $1", name
    )
    assert row is not None
    return row["state"], row["detail"], row["position"]
