"""The guard around a served model, called in this process as an ASGI server calls it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from src.tracking import guard
from src.tracking.guard import AT_ONCE, LARGEST, LONGEST, LOOPBACK, SKIPPED, Guard, Message, names

LINE = "serving on http://127.0.0.1:5001/invocations"


class Model:
    """Answers with the size of what it got, or as it is told to; counts those inside at once."""

    def __init__(
        self, status: int = 200, body: bytes | None = None, error: Exception | None = None
    ):
        self.status, self.body, self.error = status, body, error
        self.inside = self.most = self.called = 0

    async def __call__(self, _scope: Message, receive: Any, send: Any) -> None:
        self.called += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        body = (await receive()).get("body", b"")
        await asyncio.sleep(0.01)
        self.inside -= 1
        if self.error:
            raise self.error
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body or str(len(body)).encode()})


def request(**headers: str) -> Message:
    given = {"host": "127.0.0.1:5001", "content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    encoded = [(name.encode(), value.encode()) for name, value in given.items()]
    return {"type": "http", "method": "POST", "headers": encoded}


async def asked(
    app: Guard, scope: Message, parts: Sequence[bytes] = (b"{}",), *, complete: bool = True
) -> tuple[int, Any]:
    """Status and JSON of the answer to a request whose body comes in `parts`."""
    left: Iterator[bytes] = iter(parts)
    sent: list[Message] = []
    remaining = len(parts)

    async def receive() -> Message:
        nonlocal remaining
        if not remaining:
            await asyncio.sleep(3600)
        remaining -= 1
        more = remaining > 0 or not complete
        return {"type": "http.request", "body": next(left), "more_body": more}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body)


def ask(model: Model, scope: Message, *parts: bytes, complete: bool = True) -> tuple[int, Any]:
    app = Guard(model, LOOPBACK, LINE)
    return asyncio.run(asked(app, scope, parts or (b"{}",), complete=complete))


def test_a_request_is_passed_on_whole_and_its_answer_unchanged() -> None:
    assert ask(Model(), request(), b"[1,", b" 2]") == (200, len("[1, 2]"))


@pytest.mark.parametrize("host", ["localhost", "localhost:5001", "127.0.0.1", "[::1]:5001"])
def test_a_name_of_this_machine_is_answered(host: str) -> None:
    assert ask(Model(), request(host=host))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:5001", "", "[::1"])
def test_any_other_name_is_refused_before_the_model_is_asked(host: str) -> None:
    model = Model()
    status, answer = ask(model, request(host=host))
    assert (status, model.called) == (403, 0)
    assert answer["message"] == "this server answers only as 127.0.0.1 or ::1 or localhost"


def test_a_server_that_others_may_call_answers_by_every_name() -> None:
    app = Guard(Model(), None, LINE)
    assert asyncio.run(asked(app, request(host="faces.example")))[0] == 200


@pytest.mark.parametrize(
    ("stated", "parts"),
    [(str(SKIPPED + 1), [b"{}"]), ("0", [bytes(LARGEST), b"x"])],
    ids=["by what it states", "by what it sends"],
)
def test_a_body_that_is_too_large_never_reaches_the_model(stated: str, parts: list[bytes]) -> None:
    model = Model()
    status, answer = ask(model, request(content_length=stated), *parts)
    assert (status, model.called) == (413, 0)
    assert str(LARGEST) in answer["message"]


def test_a_body_of_the_largest_size_is_passed_on() -> None:
    assert ask(Model(), request(), bytes(LARGEST)) == (200, LARGEST)


def test_a_request_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.05)
    model = Model()
    status, answer = ask(model, request(), b"{", complete=False)
    assert (status, model.called) == (408, 0)
    assert "not complete" in answer["message"]


@pytest.mark.parametrize("kind", ["text/csv", "", "application/json-seq"])
def test_only_json_is_read(kind: str) -> None:
    model = Model()
    assert ask(model, request(content_type=kind))[0] == 415
    assert model.called == 0


def test_json_with_a_character_set_is_read() -> None:
    assert ask(Model(), request(content_type="Application/JSON; charset=utf-8"))[0] == 200


@pytest.mark.parametrize("error", [RecursionError(), ValueError("Exceeds the limit (4300 digits)")])
def test_json_that_python_cannot_read_is_a_bad_request(error: Exception) -> None:
    status, answer = ask(Model(error=error), request())
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"message": "wrong\n" + "x" * 10_000, "stack_trace": "secret"}).encode(),
        json.dumps({"detail": "y" * 10_000}).encode(),
        b"[1, 2]",
        b"no JSON\n" + b"\xff" * 10_000,
    ],
)
def test_an_error_of_the_model_is_one_bounded_line(body: bytes) -> None:
    status, answer = ask(Model(500, body), request())
    assert (status, answer.keys()) == (500, {"error_code", "message"})
    assert 0 < len(answer["message"]) <= LONGEST and "\n" not in answer["message"]


def test_no_more_requests_are_in_memory_than_allowed_and_all_are_answered() -> None:
    model = Model()
    app = Guard(model, LOOPBACK, LINE)

    async def many() -> list[tuple[int, Any]]:
        return await asyncio.gather(*(asked(app, request()) for _ in range(3 * AT_ONCE)))

    assert asyncio.run(many()) == [(200, 2)] * (3 * AT_ONCE)
    assert model.most == AT_ONCE


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1"])
def test_on_every_loopback_address_requests_name_this_machine(address: str) -> None:
    assert names(address) == LOOPBACK | {address}


@pytest.mark.parametrize("address", ["192.0.2.7", "::", "fe80::1%eth0"])
def test_elsewhere_requests_may_name_any_host(address: str) -> None:
    assert names(address) is None


def test_the_line_that_names_the_address_is_printed_once_it_answers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def starting(scope: Message, receive: Any, send: Any) -> None:
        assert capsys.readouterr().err == ""
        await send({"type": "lifespan.startup.complete"})

    async def nothing(*_: object) -> Message:
        return {}

    asyncio.run(Guard(starting, LOOPBACK, LINE)({"type": "lifespan"}, nothing, nothing))
    assert capsys.readouterr().err == f"{LINE}\n"
