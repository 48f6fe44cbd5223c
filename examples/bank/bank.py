"""What happens to an account, and the read model that the workers keep of it."""

from dataclasses import dataclass

from sidecar import EventPublisher, EventTypes, Projection
from sidecar.events.subscriber import Connection

types = EventTypes()


@types.register()
@dataclass(frozen=True)
class MoneyDeposited:
    account: str
    cents: int


@types.register()
@dataclass(frozen=True)
class MoneyWithdrawn:
    account: str
    cents: int


class Balances(Projection):
    name = "balances"
    handles = (MoneyDeposited, MoneyWithdrawn)
    tables = ("balances",)  # a rebuild makes a new copy of these

    async def setup(self, connection: Connection) -> None:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS balances (account text PRIMARY KEY, cents bigint NOT NULL)"
        )

    async def handle(self, event: MoneyDeposited | MoneyWithdrawn, connection: Connection) -> None:
        cents = event.cents if isinstance(event, MoneyDeposited) else -event.cents
        await connection.execute(
            "INSERT INTO balances AS b VALUES ($1, $2)"
            " ON CONFLICT (account) DO UPDATE SET cents = b.cents + excluded.cents",
            event.account,
            cents,
        )


publisher = EventPublisher(types)
publisher.add_projection(Balances())
