"""The application: takes deposits and withdrawals, shows balances. `uvicorn app:app` serves it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from bank import MoneyDeposited, MoneyWithdrawn, types
from fastapi import Body, FastAPI, HTTPException, Request

from sidecar import ConcurrencyError, EventStore, MeteredPool, agent

Cents = Annotated[int, Body(embed=True, gt=0)]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with MeteredPool(os.environ["DATABASE_URL"], name="bank", min_size=1) as pool:
        store = EventStore(pool, types)
        async with agent(pool=pool, store=store):
            app.state.pool, app.state.store = pool, store
            yield


app = FastAPI(title="Bank", lifespan=lifespan)


@app.post("/accounts/{account}/deposits", status_code=201)
async def deposit(request: Request, account: str, cents: Cents) -> dict[str, int]:
    """Take money in. Nothing forbids a deposit, so any version of the stream will do."""
    appended = await request.app.state.store.append(
        f"account-{account}", [MoneyDeposited(account, cents)]
    )
    return {"version": appended.version}


@app.post("/accounts/{account}/withdrawals", status_code=201)
async def withdraw(request: Request, account: str, cents: Cents) -> dict[str, int]:
    """Pay money out, if the events say that it is there and none came between."""
    store: EventStore = request.app.state.store
    balance, version = await read_balance(store, account)
    if balance < cents:
        raise HTTPException(409, f"The account holds {balance} cents.")
    try:
        appended = await store.append(
            f"account-{account}", [MoneyWithdrawn(account, cents)], expected_version=version
        )
    except ConcurrencyError as error:
        raise HTTPException(409, "The account changed meanwhile. Try again.") from error
    return {"version": appended.version}


@app.get("/accounts")
async def list_balances(request: Request) -> dict[str, int]:
    """Show the read model, which is a moment behind the events."""
    rows = await request.app.state.pool.fetch("SELECT account, cents FROM balances")
    return {row["account"]: row["cents"] for row in rows}


async def read_balance(store: EventStore, account: str) -> tuple[int, int]:
    """Return an account's balance by its events, and the version of its stream."""
    balance = version = 0
    while records := await store.read_stream(f"account-{account}", after_version=version):
        for record in records:
            event = store.decode(record)
            if isinstance(event, MoneyDeposited):
                balance += event.cents
            elif isinstance(event, MoneyWithdrawn):
                balance -= event.cents
        version = records[-1].version
    return balance, version
