"""A real client asks real servers: MLflow's own, and the bounded one that `make serve` starts."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import serving
from src.data.received import MOST
from src.errors import TrackingError
from src.models.classifier import Classifier
from src.models.threshold import Threshold
from src.prediction.stream import Prediction
from src.tracking.guard import LARGEST, LONGEST, SKIPPED
from src.tracking.registry import promote
from tests.answered import predict
from tests.corpus.images import png
from tests.thresholds import threshold_for
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project
from tests.tracking.servers import QUIET, free_port, free_ports

START = 120  # seconds
JSON = "application/json"
ONLY = "this server answers only as 127.0.0.1 or ::1 or localhost"
ACTIVATED = {"MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db"}  # as `.venv/bin/activate` has it
MLFLOW = ["mlflow", "models", "serve", "-m", f"models:/{MODEL}@champion", "--env-manager", "local"]
COMMANDS = {"mlflow": [*MLFLOW, "--host", "127.0.0.1"], "bounded": ["src.serve"]}
pytestmark = [pytest.mark.pipeline, pytest.mark.faults]


@dataclass(frozen=True)
class Served:
    """A project whose champion is served on a port for each of COMMANDS."""

    root: Path
    ports: dict[str, int]
    before: list[str]

    def post(self, server: str, body: object, kind: str = JSON) -> tuple[int, Any]:
        """Status and answer of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[server], timeout=60)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", "/invocations", sent, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text)


@pytest.fixture(scope="module")
def served(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served") / "project"
    shutil.copytree(blueprint, root)
    project, ports = Project(root), dict(zip(COMMANDS, free_ports(len(COMMANDS)), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        finish_run(project)
        threshold_for(project, 0.0003).save(Path("own.safetensors"))
        promote(project.record, 0.5, MODEL, Path("own.safetensors"))
    # A model that an earlier release registered has an older copy of the code.
    (newer,) = root.rglob("code/src/announcing.py")
    newer.unlink()
    before = sorted(path.name for path in root.iterdir())
    environment = {**os.environ, **QUIET, **ACTIVATED, "HTTPS_PROXY": "http://127.0.0.1:9"}
    processes = []
    for name, command in COMMANDS.items():
        with (root.parent / f"{name}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command, "--port", str(ports[name])],
                    cwd=root,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
    try:
        for name, port in ports.items():
            wait_for(port, root.parent / f"{name}.log")
        yield Served(root, ports, before)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A JPEG and PNGs, of which only the last has the network's size."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0).integers
    shapes = {"wide.jpg": (40, 64, 3), "tall.png": (200, 90, 3), "exact.png": (32, 32, 3)}
    for name, shape in shapes.items():
        Image.fromarray(draw(0, 256, shape, np.uint8)).save(folder / name)
    return [folder / name for name in shapes]


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def expected(served: Served, photos: list[Path]) -> tuple[Prediction, ...]:
    threshold = Threshold.load(served.root / "own.safetensors")
    return predict(Classifier.load(served.root / Project.model), threshold, photos, 5)


def alike(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two answers are the same but for how sums are rounded."""
    return row == {
        **other,
        "probability": pytest.approx(other["probability"], abs=1e-5),
        "top_probabilities": pytest.approx(other["top_probabilities"], abs=1e-5),
    }


@pytest.mark.parametrize("server", COMMANDS)
def test_photos_and_pixels_are_answered_as_src_predict_does(
    served: Served, photos: list[Path], server: str
) -> None:
    files = [encoded(photo.read_bytes()) for photo in photos]
    files[0] = f"data:image/jpeg;base64,{files[0]}"
    status, answer = served.post(server, {"inputs": files})
    assert status == 200
    wanted = expected(served, photos)
    for row, prediction in zip(answer["predictions"], wanted, strict=True):
        assert (row["name"], row["unknown"]) == (prediction.name, prediction.unknown)
        assert tuple(row["candidates"]) == prediction.candidates
        names, probabilities = zip(*prediction.subjects, strict=True)
        assert tuple(row["top_subjects"]) == names
        assert row["top_probabilities"] == pytest.approx(probabilities, abs=1e-5)
    pixels = np.array(Image.open(photos[-1])).tolist()
    (row,) = served.post(server, {"inputs": [pixels]})[1]["predictions"]
    assert alike(row, answer["predictions"][-1])


def test_serving_leaves_no_store_behind(served: Served) -> None:
    assert sorted(path.name for path in served.root.iterdir()) == served.before


BAD = {
    "a shape": {"inputs": [[[0] * 500] * 500]},
    "lengths": {"inputs": [[1], [2, 3]]},
    "fractions": {"inputs": [[[[0.5] * 3] * 32] * 32]},
    "negative": {"inputs": [[[[-1] * 3] * 32] * 32]},
    "too large numbers": {"inputs": [[[[256] * 3] * 32] * 32]},
    "one long string": {"inputs": "x" * 100_000},
    "nothing": {"inputs": []},
    "too many": {"inputs": ["eA=="] * (MOST + 1)},
    "no base64": {"inputs": ["$" * 100_000]},
    "no image": {"inputs": [encoded(b"x" * 100_000)]},
    "a bomb": {"inputs": [encoded(png(16_000, 16_000, bytes(100_000)))]},
    "a mixture": {"inputs": [encoded(b"x"), [1, 2]]},
    "another key": {"images": ["x" * 100_000]},
    "a table": {"dataframe_split": {"columns": ["image"], "data": [["x" * 100_000]]}},
}


@pytest.mark.parametrize("server", COMMANDS)
@pytest.mark.parametrize("name", BAD)
def test_a_wrong_or_hostile_input_is_one_line(served: Served, server: str, name: str) -> None:
    status, answer = served.post(server, BAD[name])
    assert status == 400
    assert "\n" not in answer["message"] and len(answer["message"]) <= LONGEST
    assert not {"stack_trace"} & answer.keys()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (400, JSON, b'{"inputs": ["' + b"x" * 100_000),
        (400, JSON, b'{"inputs": ' + b"[" * 200_000),
        (400, JSON, b'{"inputs": [' + b"9" * 5000 + b"]}"),
        (400, JSON, b"\xff" * 100_000),
        (415, "text/csv", b"image\n" + b"x" * 100_000),
        (415, "application/vnd.apache.parquet", b"x" * 100_000),
        (415, "image/jpeg", b"x" * 100_000),
        (415, "", b'{"inputs": []}'),
        (413, JSON, b" " * (LARGEST + 1)),
    ],
    ids=["cut", "deep", "long number", "no text", "csv", "parquet", "raw", "no type", "huge"],
)
def test_the_bounded_server_repeats_no_request(
    served: Served, status: int, kind: str, body: bytes
) -> None:
    given, answer = served.post("bounded", body, kind)
    assert given == status
    assert "\n" not in answer["message"] and len(answer["message"]) <= LONGEST
    assert answer.keys() == {"error_code", "message"}


@pytest.mark.parametrize("host", ["another.site", "another.site:80", "[", ""])
def test_the_bounded_server_answers_by_the_names_of_this_machine_alone(
    served: Served, host: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["bounded"], timeout=60)
    for method, path in (("POST", "/invocations"), ("GET", "/ping")):
        connection.request(method, path, b'{"inputs": []}', {"Host": host, "Content-Type": JSON})
        answer = connection.getresponse()
        said = json.loads(answer.read())["message"]
        assert (answer.status, said) == (403, ONLY)
        connection.close()


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:5001"])
def test_the_bounded_server_answers_through_a_tunnel(served: Served, host: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["bounded"], timeout=60)
    connection.request("GET", "/ping", headers={"Host": host})
    assert connection.getresponse().status == 200
    connection.close()


def test_a_request_without_end_is_refused_by_the_bounded_server_before_it_is_sent(
    served: Served,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["bounded"], timeout=60)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Length", str(SKIPPED + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413


@pytest.mark.parametrize("server", COMMANDS)
def test_many_clients_at_once_are_all_answered_alike(
    served: Served, photos: list[Path], server: str
) -> None:
    body = {"inputs": [encoded(photos[0].read_bytes())]}
    with ThreadPoolExecutor(32) as clients:
        answers = [*clients.map(lambda _: served.post(server, body), range(64))]
    assert [status for status, _ in answers] == [200] * 64
    first = answers[0][1]["predictions"][0]
    for _, answer in answers:
        assert alike(answer["predictions"][0], first)


@pytest.mark.parametrize("port", ["its own", "99999"])
def test_a_port_that_cannot_be_had_is_one_line_before_the_model_is_read(
    served: Served, port: str
) -> None:
    number = str(served.ports["bounded"]) if port == "its own" else port
    command = [sys.executable, "-m", "src.serve", "--port", number]
    done = subprocess.run(command, cwd=served.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: port {number}: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "::1%nowhere", ""])
def test_a_host_that_cannot_be_had_is_one_line_before_the_model_is_read(
    served: Served, host: str
) -> None:
    command = [sys.executable, "-m", "src.serve", "--host", host, "--port", "0"]
    done = subprocess.run(command, cwd=served.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: host") and done.stderr.count("\n") == 1
    assert "--host" in done.stderr and "port " not in done.stderr


def test_a_running_server_is_timed(
    served: Served, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(served.ports["bounded"])
    given = [str(photos[0]), "--port", port, "--clients", "1", "4", "--requests", "8", "--json"]
    serving.main(given)
    one, four = json.loads(capsys.readouterr().out)
    assert (one["clients"], four["clients"]) == (1, 4)
    for found in (one, four):
        assert 0 < found["median_ms"] <= found["high_ms"]
        assert 0 < found["per_second"] < 1000 * found["clients"] / found["median_ms"] * 2
    with pytest.raises(TrackingError, match="no answer"):
        serving.main([str(photos[0]), "--port", str(free_port())])


def test_without_a_champion_the_command_says_so_on_one_line(blueprint: Path) -> None:
    command = [sys.executable, "-m", "src.serve"]
    done = subprocess.run(command, cwd=blueprint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: models:/{MODEL}@champion: no champion yet")
    assert done.stderr.count("\n") == 1
