"""`python -m benchmarks.serving`: how long does a running server take to answer?"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.options import count
from src import cli
from src.errors import ImageError, TrackingError

EXAMPLES = """\
  python -m benchmarks.serving photo.jpg
  python -m benchmarks.serving photo.jpg --clients 1 32 --requests 256 --json"""
PATIENCE = 60  # seconds


@dataclass(frozen=True)
class ServingTiming:
    """Requests of one photo each by some clients at once: a second, and milliseconds of each."""

    clients: int
    requests: int
    per_second: float
    median_ms: float
    high_ms: float

    def __str__(self) -> str:
        return (
            f"{self.clients:>7}{self.requests:>10}{self.per_second:>12.1f}"
            f"{self.median_ms:>13,.0f}{self.high_ms:>13,.0f}"
        )


HEADER = f"{'clients':>7}{'requests':>10}{'per second':>12}{'median, ms':>13}{'95%, ms':>13}"


def main(argv: Sequence[str] | None = None) -> None:
    """Ask the server of `make serve` whose face a photo shows, again and again."""
    parser = cli.parser("benchmarks.serving", str(main.__doc__), EXAMPLES)
    parser.add_argument("photo", type=Path, help="image file that every request holds")
    parser.add_argument(
        "--clients", type=count, nargs="+", default=[1, 32], help="how many at once (1 32)"
    )
    parser.add_argument("--requests", type=count, default=128, help="for each (%(default)s)")
    parser.add_argument("--port", type=int, default=5001, help="on this machine (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    try:
        photo = base64.b64encode(options.photo.read_bytes()).decode()
    except OSError as error:
        raise ImageError(str(options.photo), str(error.strerror), "name an image file") from None
    body = json.dumps({"inputs": [photo]}).encode()
    ask(options.port, body)  # the first loads what the others find loaded
    timings = [
        time_clients(options.port, body, clients, options.requests) for clients in options.clients
    ]
    if options.json:
        print(json.dumps([asdict(timing) for timing in timings]))
    else:
        print(HEADER, *timings, sep="\n")


def time_clients(port: int, body: bytes, clients: int, requests: int) -> ServingTiming:
    """All requests, `clients` of them at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = [*pool.map(lambda _: ask(port, body), range(requests))]
    whole = time.perf_counter() - began
    median, high = 1000 * np.quantile(seconds, (0.5, 0.95))
    return ServingTiming(clients, requests, requests / whole, float(median), float(high))


def ask(port: int, body: bytes) -> float:
    """Seconds of one request; raises TrackingError if it has no answer that names a face."""
    began, where = time.perf_counter(), f"http://127.0.0.1:{port}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise TrackingError(where, f"no answer ({error})", "run `make serve`") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        what = f"the server answers {answer.status}: {said[:200].decode(errors='replace')}"
        raise TrackingError(where, what, "give it a photo that it takes")
    return time.perf_counter() - began


if __name__ == "__main__":
    cli.run(main)
