from typing import Any

import pytest
from aiohttp import ClientSession, web

from sidecar.config.cors_policy import CorsPolicy
from sidecar.web.cors import cors_middleware

GOOD = {"Origin": "https://app.example.com"}
EVIL = {"Origin": "https://evil.example.net"}
BEARER = {"Authorization": "Bearer correct-horse"}
ASK = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-tenant"}


@pytest.fixture
async def application(aiohttp_client: Any) -> Any:
    async def greet(_request: web.Request) -> web.Response:
        return web.Response(text="hello", headers={"Vary": "Accept"})

    async def refuse(_request: web.Request) -> web.Response:
        raise web.HTTPConflict(text="no")

    app = web.Application(
        middlewares=[cors_middleware(CorsPolicy.parse("https://app.example.com"))]
    )
    app.add_routes([web.get("/greet", greet), web.put("/refuse", refuse)])
    return await aiohttp_client(app)


async def test_a_granted_origin_may_read_the_answer(application: Any) -> None:
    async with application.get("/greet", headers=GOOD) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert answer.headers.getall("Vary") == ["Accept", "Origin"]


async def test_another_origin_is_granted_nothing(application: Any) -> None:
    async with application.get("/greet", headers=EVIL) as answer:
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers.getall("Vary")


async def test_a_refusal_can_be_read_too(application: Any) -> None:
    async with application.put("/refuse", headers=GOOD) as answer:
        assert answer.status == 409
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


async def test_a_preflight_is_answered_for_the_application(application: Any) -> None:
    async with application.options("/refuse", headers=GOOD | ASK) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, DELETE, PATCH"
        assert answer.headers["Access-Control-Allow-Headers"] == "x-tenant"
    async with application.options("/refuse", headers=EVIL | ASK) as answer:
        assert answer.status == 204
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_the_origins_are_those_of_the_environment_when_none_are_given(
    aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", GOOD["Origin"])
    client = await aiohttp_client(web.Application(middlewares=[cors_middleware()]))

    async with client.options("/", headers=GOOD | ASK) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == GOOD["Origin"]


@pytest.mark.parametrize("path", ["/ready", "/metrics", "/config-report", "/api/status", "/", "/x"])
async def test_the_sidecar_grants_its_own_answers_to_no_origin(
    path: str, start: Any, http: ClientSession
) -> None:
    listener = await start()
    for origin in (GOOD, EVIL, {"Origin": "null"}):
        async with http.get(listener.url + path, headers=origin | BEARER) as answer:
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
        async with http.options(listener.url + path, headers=origin | ASK) as answer:
            assert answer.status in {404, 405}
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
