"""Servers that know their port before any work; the demo's says where it is once it answers."""

from __future__ import annotations

import socket
import sys
from errno import EADDRINUSE

import uvicorn

from src.errors import ConfigError


def listener(host: str, port: int) -> socket.socket:
    """A socket that is bound, to a free port if `port` is 0; raises ConfigError if it cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise ConfigError(
            f"host {host}", str(error.strerror), "choose another with --host"
        ) from None
    except (OSError, OverflowError) as error:
        what = "already in use" if getattr(error, "errno", None) == EADDRINUSE else "cannot be used"
        raise ConfigError(f"port {port}", what, "choose another with --port") from None


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
