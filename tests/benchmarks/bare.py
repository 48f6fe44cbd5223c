"""`python -m tests.benchmarks.bare KIND PORT FILE`: bare servers that answer from a file.

`application` is a handler in aiohttp's `web.Application`, `server` one on its low-level server,
and `fastapi` one under FastAPI and uvicorn.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from aiohttp import web


class Answer(msgspec.Struct, frozen=True):
    """What the server that is compared against answered."""

    body: bytes
    headers: dict[str, str]


Answers = dict[str, Answer]
"""By path."""


async def serve_application(port: int, answers: Answers) -> None:
    """Answer until the process is ended."""

    async def respond(answer: Answer, _request: web.Request) -> web.Response:
        return web.Response(body=answer.body, headers=answer.headers)

    application = web.Application()
    for path, answer in answers.items():
        application.router.add_get(path, partial(respond, answer))
    await _listen(web.AppRunner(application, access_log=None), port)


async def serve_server(port: int, answers: Answers) -> None:
    """Answer until the process is ended."""

    async def respond(request: web.BaseRequest) -> web.Response:
        answer = answers[request.path]
        return web.Response(body=answer.body, headers=answer.headers)

    await _listen(web.ServerRunner(web.Server(respond, access_log=None)), port)


async def _listen(runner: web.AppRunner | web.ServerRunner, port: int) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def serve_fastapi(port: int, answers: Answers) -> None:
    """Answer until the process is ended."""
    import uvicorn  # noqa: PLC0415 - its import is no part of the others
    from fastapi import FastAPI, Response  # noqa: PLC0415

    application = FastAPI()

    def add(path: str, answer: Answer) -> None:
        headers = {k: v for k, v in answer.headers.items() if k.lower() != "server"}

        @application.get(path)
        async def respond() -> Response:
            return Response(answer.body, headers=headers)

    for path, answer in answers.items():
        add(path, answer)
    config = uvicorn.Config(
        application, port=port, access_log=False, headers=[("Server", "event-sidecar")],
        server_header=False, log_level="warning",
    )  # fmt: skip
    await uvicorn.Server(config).serve()


KINDS: Final[dict[str, Callable[[int, Answers], Awaitable[None]]]] = {
    "application": serve_application,
    "server": serve_server,
    "fastapi": serve_fastapi,
}

if __name__ == "__main__":
    kind, port, file = sys.argv[1:]
    answers = msgspec.json.decode(Path(file).read_bytes(), type=Answers)

    async def main() -> None:
        """Serve what was asked for."""
        await KINDS[kind](int(port), answers)

    uvloop.run(main())
