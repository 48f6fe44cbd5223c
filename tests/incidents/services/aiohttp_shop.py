"""`python -m tests.incidents.services.aiohttp_shop PORT`: a shop on aiohttp."""

import asyncio
import dataclasses
import os
import sys
from collections.abc import AsyncIterator

from aiohttp import web

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

POOL = web.AppKey("pool", MeteredPool)
STORE = web.AppKey("store", EventStore)

recent = RecentOrders()
publisher = EventPublisher()
publisher.add_handler(recent)

routes = web.RouteTableDef()


@routes.post("/orders")
async def take_order(request: web.Request) -> web.Response:
    order = OrderPlaced(**await request.json())
    number = await place_order(request.app[POOL], request.app[STORE], order)
    await publisher.publish(order)
    return web.json_response({"number": number}, status=201)


@routes.put("/addresses/{customer}")
async def take_address(request: web.Request) -> web.Response:
    await enter_address(request.app[POOL], request.match_info["customer"], await request.json())
    return web.Response(status=204)


@routes.get("/totals")
async def show_totals(request: web.Request) -> web.Response:
    return web.json_response(await read_totals(request.app[POOL]))


@routes.get("/invoices")
async def show_invoices(request: web.Request) -> web.Response:
    return web.json_response(await read_invoices(request.app[POOL]))


@routes.get("/recent")
async def show_recent(_request: web.Request) -> web.Response:
    return web.json_response([dataclasses.asdict(order) for order in recent.orders])


async def observed(app: web.Application) -> AsyncIterator[None]:
    async with MeteredPool(os.environ["DATABASE_URL"], name="shop") as pool:
        store = EventStore(pool, types)
        async with agent(publisher=publisher, pool=pool, store=store):
            app[POOL], app[STORE] = pool, store
            yield


app = web.Application()
app.cleanup_ctx.append(observed)
app.add_routes(routes)

if __name__ == "__main__":
    asyncio.run(make_tables(os.environ["DATABASE_URL"]))
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
