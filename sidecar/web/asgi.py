"""The CORS policy for ASGI applications, such as FastAPI's and Starlette's; it imports neither."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from sidecar.config import environ
from sidecar.config.cors_policy import CorsPolicy
from sidecar.config.settings import cors_policy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class CorsMiddleware:
    """Answers preflight requests and adds the policy's headers to every other answer.

    `app.add_middleware(CorsMiddleware)` adds it to FastAPI and Starlette, and
    `CorsMiddleware(app)` wraps any ASGI application. It stands outside of whatever
    answers with an error, or the page could not read why it was refused.

    Args:
        app: The application.
        policy: Who may call; by default the origins in CORS_ORIGINS, read now.
    """

    def __init__(self, app: Application, policy: CorsPolicy | None = None) -> None:
        self._app: Final = app
        self._policy: Final = cors_policy(environ.read()) if policy is None else policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; what is no HTTP request is passed on unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = asked.get(b"origin")
        is_question = origin is not None and b"access-control-request-method" in asked
        if scope["method"] == "OPTIONS" and is_question:
            wanted = asked.get(b"access-control-request-headers", "")
            await _answer(send, self._policy.preflight_headers(origin, wanted))
        else:
            granted = self._policy.response_headers(origin)
            await self._app(scope, receive, _adding(send, granted))


async def _answer(send: Send, headers: dict[str, str]) -> None:
    """Answer a preflight request; a refusal is an answer without the policy's headers."""
    status = HTTPStatus.NO_CONTENT.value
    await send({"type": "http.response.start", "status": status, "headers": _encode(headers)})
    await send({"type": "http.response.body", "body": b""})


def _adding(send: Send, granted: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _merged(message.get("headers", ()), granted)}
        await send(message)

    return send_with_headers


def _merged(given: Iterable[tuple[bytes, bytes]], granted: dict[str, str]) -> Headers:
    """Add the granted headers: `Vary` is extended, others are replaced."""
    added = _encode(granted)
    names = {name for name, _ in added} - {b"vary"}
    kept = [(name, value) for name, value in given if name.lower() not in names]
    varies = {
        part.strip().lower()
        for name, value in kept
        if name.lower() == b"vary"
        for part in value.split(b",")
    }
    return kept + [each for each in added if each[0] != b"vary" or each[1].lower() not in varies]


def _encode(headers: dict[str, str]) -> Headers:
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
