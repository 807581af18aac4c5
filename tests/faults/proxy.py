"""A TCP proxy that can refuse: a server that is away for a while, and then has all it had."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass
class Proxy:
    """Passes connections on to a port of this machine, within a `with proxied(port)` block."""

    target: int
    listener: socket.socket = field(default_factory=lambda: socket.create_server((HOST, 0)))
    _away: bool = False
    _left: float = float("inf")  # bytes until it is away
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    @contextmanager
    def away(self, after: float = 0) -> Iterator[None]:
        """In the block, connections are cut and new ones closed, once so many bytes have passed."""
        self._left = after
        if not after:
            self._cut()
        try:
            yield
        finally:
            self._away, self._left = False, float("inf")

    def serve(self) -> None:
        """Pass on until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self._away:
                    client.close()
                    continue
                server = socket.create_connection((HOST, self.target))
                self._open |= {client, server}
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._left -= len(data)
                if self._left < 0:
                    self._cut()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)

    def _cut(self) -> None:
        self._away = True
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy of a port of this machine, on a port of its own."""
    proxy = Proxy(port)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
