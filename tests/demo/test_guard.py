"""The server answers its own page alone, and what it shows can be neither embedded nor loaded."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from tests.demo.served import CORRECTIONS, Served


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "evil.example:{port}", "127.0.0.1:1"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_host_is_refused_so_that_dns_rebinding_shows_nothing(
    undecided: Served, host: str, method: str
) -> None:
    named = host.format(port=undecided.port)
    path = "/api/doubts" if method == "GET" else "/api/decisions"
    body = None if method == "GET" else b"[]"
    kind = "application/json"
    # The page of such a host would name it as its origin, too.
    status, _, answer = undecided.request(
        method, path, body, host=named, origin=f"http://{named}", content_type=kind
    )
    assert status == 403
    assert b"this server answers only as" in answer
    assert not (undecided.root / CORRECTIONS).exists()


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}"],
)
@pytest.mark.parametrize("path", ["/api/decisions", "/api/answer", "/api/nearest"])
def test_a_page_of_another_origin_can_neither_write_nor_ask(
    undecided: Served, origin: str | None, path: str
) -> None:
    given = origin and origin.format(port=undecided.port)
    status, headers, answer = undecided.request(
        "POST", path, b"[]", origin=given, content_type="application/json"
    )
    assert status == 403
    assert json.loads(answer) == {"error": "only the page of this server may send this"}
    assert "access-control-allow-origin" not in headers
    assert not (undecided.root / CORRECTIONS).exists()


def test_localhost_is_this_machine_too(served: Served) -> None:
    host = f"localhost:{served.port}"
    photo = served.photos[0].read_bytes()
    origin = f"http://{host}"
    assert served.request("POST", "/api/answer", photo, host=host, origin=origin)[0] == 200


def test_other_sites_may_neither_embed_nor_be_loaded(served: Served) -> None:
    _, headers, body = served.request("GET", "/")
    page = body.decode()
    rules = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
    for name in ("script", "style"):
        (content,) = re.findall(rf"<{name}>(.*)</{name}>", page, re.DOTALL)
        wanted = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{wanted}'"
    assert (rules["default-src"], rules["frame-ancestors"]) == ("'none'", "'none'")
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert not re.findall(r"https?://", page)
    for path in ("/docs", "/redoc", "/openapi.json", "/nothing"):  # FastAPI's own load from a CDN
        assert served.request("GET", path)[0] == 404
