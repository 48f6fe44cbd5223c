"""The CORS policy in front of an ASGI application, as FastAPI and Starlette are."""

import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI

from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.environ import Environ
from sidecar.config.settings import cors_policy
from sidecar.web.asgi import CorsMiddleware

ORIGIN = b"https://app.shop.io"
ASK = (b"access-control-request-method", b"PUT")


async def application(scope: Any, _receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        headers = [(b"Vary", b"Accept"), (b"access-control-allow-origin", b"*")]
        await send({"type": "http.response.start", "status": 418, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})
    else:
        await send({"type": f"{scope['type']}.done"})


async def ask(
    *headers: tuple[bytes, bytes],
    method: str = "GET",
    kind: str = "http",
    origins: str = "https://app.shop.io, https://admin.shop.io",
) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    policy = cors_policy(Environ.of({"CORS_ORIGINS": origins}))
    middleware = CorsMiddleware(application, policy)
    await middleware({"type": kind, "method": method, "headers": headers}, receive, send)
    return sent


async def test_a_granted_origin_may_read_the_answer() -> None:
    start, body = await ask((b"origin", ORIGIN))

    assert (start["status"], body["body"]) == (418, b"hello")
    assert start["headers"] == [
        (b"Vary", b"Accept"),
        (b"access-control-allow-origin", ORIGIN),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ] or set(start["headers"]) == {
        (b"Vary", b"Accept"),
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", ORIGIN),
        (b"access-control-allow-credentials", b"true"),
    }


async def test_several_origins_are_read_from_the_environment() -> None:
    start, _ = await ask((b"Origin", b"https://admin.shop.io"))

    assert (b"access-control-allow-origin", b"https://admin.shop.io") in start["headers"]


async def test_fastapi_takes_it_with_the_origins_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", ORIGIN.decode())
    app = FastAPI()
    app.add_middleware(CorsMiddleware)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "OPTIONS", "headers": [(b"origin", ORIGIN), ASK]}
    await app(scope, receive, send)

    assert (b"access-control-allow-origin", ORIGIN) in sent[0]["headers"]


async def test_another_origin_is_granted_nothing() -> None:
    start, _ = await ask((b"origin", b"https://evil.io"), ASK, method="OPTIONS")

    assert (start["status"], start["headers"]) == (204, [(b"vary", b"Origin")])


async def test_a_preflight_is_answered_for_the_application() -> None:
    wanted = (b"access-control-request-headers", b"x-tenant")
    start, body = await ask((b"origin", ORIGIN), ASK, wanted, method="OPTIONS")
    headers = dict(start["headers"])

    assert (start["status"], body["body"]) == (204, b"")
    assert headers[b"access-control-allow-methods"] == b"GET, POST, PUT, DELETE, PATCH"
    assert headers[b"access-control-allow-headers"] == b"x-tenant"


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
async def test_other_requests_reach_the_application(method: str) -> None:
    start, _ = await ask((b"origin", ORIGIN), method=method)

    assert start["status"] == 418


async def test_the_wildcard_never_brings_credentials() -> None:
    start, _ = await ask((b"origin", b"https://any.io"), origins="*")

    assert (b"access-control-allow-origin", b"*") in start["headers"]
    assert b"access-control-allow-credentials" not in dict(start["headers"])


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_request_passes_through(kind: str) -> None:
    assert await ask(kind=kind) == [{"type": f"{kind}.done"}]


def test_neither_aiohttp_nor_a_framework_is_imported() -> None:
    code = "import sys, sidecar.web.asgi; print({'aiohttp', 'starlette'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "set()"


def test_the_default_is_the_local_frontend() -> None:
    assert cors_policy(Environ.of({})) == CorsPolicy.parse("http://localhost:5000")
