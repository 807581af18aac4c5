"""Servers that know their port before any work; the demo's says where it is once it answers."""

from __future__ import annotations

import socket
import sys
from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from typing import Any

import uvicorn

from src.errors import ConfigError

ELSEWHERE = (EADDRNOTAVAIL, EAFNOSUPPORT)  # the latter for IPv6 where there is none


def listener(host: str, port: int) -> socket.socket:
    """A socket that is bound, to a free port if `port` is 0; raises ConfigError if it cannot be."""
    family, address = _address(host, port)
    try:
        return socket.create_server(address, family=family)
    except (OSError, OverflowError) as error:
        code = getattr(error, "errno", None)
        if code in ELSEWHERE:
            raise _refused(host, "not an address of this machine") from None
        what = "already in use" if code == EADDRINUSE else "cannot be used"
        raise ConfigError(f"port {port}", what, "choose another with --port") from None


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """The family and the address to bind to, by IPv4 where the host has both.

    `socket.create_server` would not tell an unknown host from a port that is taken, and would take
    none for every address of this machine.
    """
    if not host:
        raise ConfigError("host", "empty", "name one with --host, such as 127.0.0.1")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise _refused(host, getattr(error, "strerror", None) or "not a name") from None
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, (address[0], port, *address[2:])


def _refused(host: str, what: str) -> ConfigError:
    return ConfigError(f"host {host}", what, "choose another with --host")


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
