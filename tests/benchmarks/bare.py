"""`python -m tests.benchmarks.bare PORT FILE`: a bare aiohttp server that answers from a file."""

import asyncio
import sys
from http import HTTPStatus
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web


class Answer(msgspec.Struct, frozen=True):
    """What the server that is compared against answered."""

    body: bytes
    headers: dict[str, str]


Answers = dict[str, Answer]
"""By path."""


async def serve(port: int, answers: Answers) -> None:
    """Answer until the process is ended."""

    async def respond(request: web.BaseRequest) -> web.Response:
        answer = answers.get(request.path)
        if answer is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(body=answer.body, headers=answer.headers)

    runner = web.ServerRunner(web.Server(respond, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    file = Path(sys.argv[2])
    uvloop.run(serve(int(sys.argv[1]), msgspec.json.decode(file.read_bytes(), type=Answers)))
