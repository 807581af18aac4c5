"""A request's content is read up to the bound it is given, however large that is."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request

from src.demo import guard
from src.demo.guard import Message, RefusedError, body

SKIPPED, MOST = 8, 12


def read(monkeypatch: pytest.MonkeyPatch, size: int, *, stated: bool) -> bytes:
    """The content of a request of `size` bytes, of which at most MOST are taken."""
    monkeypatch.setattr(guard, "SKIPPED", SKIPPED)
    headers = [(b"content-length", str(size).encode())] if stated else []

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(size), "more_body": False}

    return asyncio.run(body(Request({"type": "http", "headers": headers}, receive), "photo", MOST))


@pytest.mark.parametrize("stated", [False, True])
def test_a_bound_above_what_is_skipped_holds(monkeypatch: pytest.MonkeyPatch, stated: bool) -> None:
    assert len(read(monkeypatch, MOST, stated=stated)) == MOST
    with pytest.raises(RefusedError, match="more than 12 bytes"):
        read(monkeypatch, MOST + 1, stated=stated)
