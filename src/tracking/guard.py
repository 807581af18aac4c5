"""The script that serves a logged model with bounds; this project never imports it.

MLflow's server reads requests of any size, and puts what it cannot read into its answer. A script,
so that the model's own copy of the package `src` is imported and no other; it may be older than
this file, which therefore imports nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

JSON = "application/json"
LARGEST = 16 * 2**20  # bytes of a request's body; as Python objects it may take twenty times more
AT_ONCE = 4  # requests in memory; further ones wait
WAITING = 256  # connections; further ones are sent away with status 503
PATIENCE = 30  # seconds that a client may take to send a request
NEVER = 10**9  # seconds after which MLflow gives up an answer
LONGEST = 500  # characters of an error
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SKIPPED = 2**28  # bytes of a larger body that are read: most clients send it all before they listen


class TooLargeError(Exception):
    """A request with a body of more than LARGEST bytes."""


@dataclass
class Guard:
    """An ASGI application around another: bounded requests, and errors of one line.

    hosts: names by which requests may call this server; None for any. By DNS rebinding a page of
    another site can make a browser call it by a name of that site. line: printed once it answers.
    """

    app: App
    hosts: frozenset[str] | None
    line: str
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, self._announcing(send))
            return
        if scope["type"] == "http" and self.hosts and _host(scope) not in self.hosts:
            named = " or ".join(sorted(self.hosts))
            await _refuse(send, 403, f"this server answers only as {named}")
            return
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        async with self.room:
            await self._answer(scope, receive, send)

    def _announcing(self, send: Send) -> Send:
        async def announce(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                print(self.line, file=sys.stderr, flush=True)

        return announce

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            content = await asyncio.wait_for(_read(scope, receive), PATIENCE)
        except TooLargeError:
            what = f"the request is larger than {LARGEST} bytes; send fewer images in each"
            await _refuse(send, 413, what)
        except TimeoutError:
            await _refuse(send, 408, f"the request was not complete after {PATIENCE} seconds")
        else:
            if _kind(scope) == JSON:
                await self._pass_on(scope, content, receive, send)
            else:  # what MLflow reads besides may grow in memory beyond any bound
                await _refuse(send, 415, f"requests are sent as {JSON}")

    async def _pass_on(self, scope: Message, content: bytes, receive: Receive, send: Send) -> None:
        answer: list[Message] = []
        parts = [{"type": "http.request", "body": content, "more_body": False}]

        async def replay() -> Message:
            return parts.pop() if parts else await receive()

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self.app(scope, replay, keep)
        except (RecursionError, ValueError):  # of JSON with too many levels, or too long a number
            await _refuse(send, 400, "the request is not JSON that can be read")
            return
        status = answer[0]["status"]
        if status >= 400:
            await _refuse(send, status, _told(b"".join(each.get("body", b"") for each in answer)))
            return
        for message in answer:
            await send(message)


def _host(scope: Message) -> str | None:
    """The name by which a request calls this server, without the port."""
    stated: bytes = dict(scope["headers"]).get(b"host", b"")
    try:
        return urlsplit(f"//{stated.decode('latin-1')}").hostname
    except ValueError:
        return None


def _kind(scope: Message) -> str:
    """A request's media type."""
    stated: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return stated.decode("latin-1").partition(";")[0].strip().lower()


async def _read(scope: Message, receive: Receive) -> bytes:
    stated = dict(scope["headers"]).get(b"content-length", b"0")
    if int(stated) > SKIPPED:
        raise TooLargeError
    content, size = bytearray(), 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > SKIPPED:
            raise TooLargeError
        if size <= LARGEST:
            content += part
        if not message.get("more_body", False):
            break
    if size > LARGEST:
        raise TooLargeError
    return bytes(content)


def _told(content: bytes) -> str:
    """What an error of MLflow's server says, on its first line; the rest repeats the request."""
    text = content.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        return text
    return (
        str(said.get("message") or said.get("detail") or text) if isinstance(said, dict) else text
    )


async def _refuse(send: Send, status: int, what: str) -> None:
    """Answer with an error in the form of MLflow's, closing the connection."""
    line = (what.strip().splitlines() or [""])[0][:LONGEST]
    body = json.dumps({"error_code": HTTPStatus(status).name, "message": line}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def names(address: str) -> frozenset[str] | None:
    """The hosts that requests may name where `address` is bound: None, for any, but on loopback."""
    return LOOPBACK | {address} if ip_address(address).is_loopback else None


def main(folder: str, bound: str) -> None:
    """Serve the model in `folder` until interrupted, on the socket of the file number `bound`."""
    import uvicorn
    from mlflow.pyfunc import load_model, scoring_server

    # When MLflow gives up, its thread computes on, beside those of the requests that are let in.
    os.environ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] = str(NEVER)
    listener = socket.socket(fileno=int(bound))
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    line = f"serving on http://{shown}:{port}/invocations; Ctrl-C ends it"
    app = Guard(scoring_server.init(load_model(folder)), names(host), line)
    config = uvicorn.Config(app, log_level="warning", limit_concurrency=WAITING)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
