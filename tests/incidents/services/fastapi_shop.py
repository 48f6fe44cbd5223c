"""`python -m tests.incidents.services.fastapi_shop PORT`: the same shop on FastAPI."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Body, FastAPI, Request

from sidecar import EventPublisher, EventStore, MeteredPool, agent
from tests.incidents.services.orders import (
    RecentOrders,
    enter_address,
    make_tables,
    place_order,
    read_invoices,
    read_totals,
)
from tests.incidents.services.shop import OrderPlaced, types

recent = RecentOrders()
publisher = EventPublisher()
publisher.add_handler(recent)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with MeteredPool(os.environ["DATABASE_URL"], name="shop") as pool:
        store = EventStore(pool, types)
        async with agent(publisher=publisher, pool=pool, store=store):
            app.state.pool, app.state.store = pool, store
            yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def take_order(request: Request, order: OrderPlaced) -> dict[str, int]:
    state = request.app.state
    number = await place_order(state.pool, state.store, order)
    await publisher.publish(order)
    return {"number": number}


@app.put("/addresses/{customer}", status_code=204)
async def take_address(request: Request, customer: str, address: Annotated[str, Body()]) -> None:
    await enter_address(request.app.state.pool, customer, address)


@app.get("/totals")
async def show_totals(request: Request) -> dict[str, int]:
    return await read_totals(request.app.state.pool)


@app.get("/invoices")
async def show_invoices(request: Request) -> list[dict[str, Any]]:
    return await read_invoices(request.app.state.pool)


@app.get("/recent")
async def show_recent() -> list[OrderPlaced]:
    return list(recent.orders)


if __name__ == "__main__":
    asyncio.run(make_tables(os.environ["DATABASE_URL"]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
