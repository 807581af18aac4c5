"""The page and what it asks for, as an ASGI application."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from src.demo.answers import PHOTO, Answers, png_bytes
from src.demo.doubts import Doubts
from src.demo.guard import Guard, RefusedError, body, refusal
from src.errors import UserError, shortage
from src.plotting import to_hwc

T = TypeVar("T")
AT_ONCE = 2  # photos in memory; further requests wait
LARGEST = 2**20  # bytes of decisions
JSON = "application/json"


@dataclass(frozen=True)
class Site:
    """Answers requests, computing one at a time while others wait."""

    answers: Answers
    doubts: Doubts
    max_bytes: int
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def page(self) -> Response:
        """The page, whole in one file."""
        text, policy = page()
        return HTMLResponse(text, headers={"content-security-policy": policy})

    async def about(self) -> Response:
        """Who answers, and how large a photo may be."""
        return JSONResponse({**self.answers.about, "max_bytes": self.max_bytes})

    async def answer(self, request: Request) -> Response:
        """Whose face is in the photo that is the request's content."""
        return await self._about_photo(request, self.answers.answer)

    async def nearest(self, request: Request) -> Response:
        """The nearest training faces, once they have been read."""
        reading = asyncio.wrap_future(self.answers.training)
        await asyncio.wait([reading])
        reading.exception()  # which the answer tells; unasked, asyncio would print it
        return await self._about_photo(request, self.answers.nearest)

    async def _about_photo(
        self, request: Request, compute: Callable[[bytes], dict[str, Any]]
    ) -> Response:
        async with self.room:
            content = await body(request, PHOTO, self.max_bytes)
            return JSONResponse(await self._computed(lambda: compute(content)))

    async def listing(self) -> Response:
        """The images in doubt."""
        return JSONResponse(await self._computed(self.doubts.listing))

    async def image(self, version: str, row: int) -> Response:
        """An image of that version of the dataset."""
        image = await self._computed(lambda: png_bytes(to_hwc(self.doubts.image(version, row))))
        return Response(image, media_type="image/png")

    async def save(self, request: Request) -> Response:
        """Write decisions about labels."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise RefusedError(415, f"decisions are sent as {JSON}")
        content = await body(request, "decisions", LARGEST)
        return JSONResponse({"decisions": await self._computed(lambda: self.doubts.save(content))})

    async def _computed(self, compute: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.worker, compute)
        except (MemoryError, RuntimeError) as error:
            if (short := shortage(error)) is None:
                raise
            raise short from None


def application(answers: Answers, doubts: Doubts, max_bytes: int, port: int) -> Guard:
    """The application that serves the page on `port` of this machine."""
    site = Site(answers, doubts, max_bytes)
    # FastAPI's own pages would load scripts from elsewhere.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/")(site.page)
    app.get("/api/about")(site.about)
    app.post("/api/answer")(site.answer)
    app.post("/api/nearest")(site.nearest)
    app.get("/api/doubts")(site.listing)
    app.get("/api/images/{version}/{row}")(site.image)
    app.post("/api/decisions")(site.save)

    @app.exception_handler(UserError)
    async def _(_request: Request, error: UserError) -> Response:
        return refusal(400, str(error))

    @app.exception_handler(RefusedError)
    async def _(_request: Request, error: RefusedError) -> Response:
        return refusal(error.status, str(error))

    return Guard(app, port)


def page() -> tuple[str, str]:
    """The page, with its style and script in it, and the policy that allows it these alone."""
    folder = files("src.demo") / "page"
    text, style, script = (
        (folder / name).read_text("utf-8") for name in ("index.html", "style.css", "script.js")
    )
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "'self' data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    text = text.replace("/* style */", style).replace("/* script */", script)
    return text, "; ".join(f"{key} {value}" for key, value in policy.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
