"""What stands before the page: it answers its own site only, with bounded requests.

A page of another site can make a browser send requests here, and by DNS rebinding even call this
server by its own name. So every request must name this machine and port as its host, and one that
computes or writes must also come from a page of that address, which browsers state in `Origin`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

PATIENCE = 60  # seconds that a client may take to send a request
SKIPPED = 2**28  # bytes of a larger request that are read
SAFE = ("GET", "HEAD")
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class RefusedError(Exception):
    """A request that is not answered, with the status and the line that say so."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


def refusal(status: int, line: str) -> JSONResponse:
    """An error as the page shows it; the connection closes, since a body may not have been read."""
    return JSONResponse({"error": line}, status, {"connection": "close"})


@dataclass(frozen=True)
class Guard:
    """An ASGI application around another."""

    app: App
    port: int

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request, or say why not."""
        if scope["type"] == "websocket":  # there is none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        refused = self._refused(scope)
        app = refusal(403, refused) if refused else self.app
        await app(scope, receive, send_with_headers)

    def _refused(self, scope: Message) -> str | None:
        """Why a request is not for this server; None if it is."""
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if self.port == 80:
            hosts |= {"127.0.0.1", "localhost"}
        given = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(given) != 1 or given[0].lower() not in hosts:
            return f"this server answers only as {' or '.join(sorted(hosts))}"
        if scope["method"] in SAFE:
            return None
        origins = [value.decode("latin-1") for key, value in scope["headers"] if key == b"origin"]
        if origins != [f"http://{given[0].lower()}"]:
            return "only the page of this server may send this"
        return None


async def body(request: Request, what: str, most: int) -> bytes:
    """A request's content; raises RefusedError for more than `most` bytes.

    The rest is read and forgotten if its size is stated and at most SKIPPED: most clients send it
    all before they listen.
    """
    read = max(most, SKIPPED)
    line = f"{what}: too large: more than {most:,} bytes; send less"
    too_large = RefusedError(413, line)
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > read:
        raise too_large
    content, size = bytearray(), 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > (read if stated else most):
                    raise too_large
                if size <= most:
                    content += part
    except ClientDisconnect:  # who reads this has gone
        raise RefusedError(400, f"{what}: not complete") from None
    except TimeoutError:
        line = f"{what}: not complete after {PATIENCE} seconds; send it again"
        raise RefusedError(408, line) from None
    if size > most:
        raise too_large
    return bytes(content)
