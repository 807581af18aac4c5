"""A server that says where it is once it answers, as the demo and a served model do."""

from __future__ import annotations

import socket
import sys

import uvicorn


class AnnouncingServer(uvicorn.Server):
    """uvicorn's, with a line for the terminal once it runs.

    Not before: until the loop runs, asyncio has a word of its own on interruption.
    """

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self.line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        print(self.line, file=sys.stderr, flush=True)
