"""A project whose champion a real server of `make demo` answers with, and what to ask of it."""

from __future__ import annotations

import csv
import http.client
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from src import paths
from src.config import PARAMS
from src.data.faceset import FaceSet
from src.files import digest
from src.labels.suspects import Suspect, write_suspects
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.models.threshold import known_scores
from src.tracking.registry import promote
from tests.thresholds import threshold_for
from tests.tracking.finished import finish_run
from tests.tracking.projects import MODEL, Project

HOSTILE = "<img src=x onerror=alert(1)>"
SUBJECTS = ("ann", HOSTILE, "eve")
FILES = ("ann/1.png", "b/1.png", "eve/1.png", "ann/<b>2</b>.png", "b/2.png", "eve/2.png")
ORIGIN = "data/synthetic.yaml"
MAX_BYTES = 100_000
CORRECTIONS = Path("data/corrections.csv")
QUIET = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
Reply = tuple[int, http.client.HTTPMessage, bytes]


@dataclass(frozen=True)
class Served:
    """A project whose champion answers on a port, and where the server may put temporary files."""

    root: Path
    port: int
    scratch: Path
    photos: tuple[Path, Path]  # known, unknown

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str | None
    ) -> Reply:
        """The answer to a request; its headers are the page's own unless given."""
        given = {"Host": f"127.0.0.1:{self.port}", **{k.title(): v for k, v in headers.items()}}
        if method == "POST":
            given = {"Origin": self.address, **given}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {key.replace("_", "-"): value for key, value in given.items() if value is not None}
        # A server that refuses what is too large may hang up before all of it is sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def answer(self, photo: bytes, about: str = "answer") -> tuple[int, Any]:
        status, _, body = self.request("POST", f"/api/{about}", photo)
        return status, json.loads(body)

    def decide(self, *decided: dict[str, Any], version: str | None = None) -> tuple[int, Any]:
        version = version or self.listing().get("version", "")
        content = json.dumps({"version": version, "decided": decided}).encode()
        kind = "application/json"
        status, _, body = self.request("POST", "/api/decisions", content, content_type=kind)
        return status, json.loads(body)

    def doubts(self) -> dict[str, Any]:
        return {each["file"]: each for each in self.listing()["items"]}

    def listing(self) -> Any:
        return json.loads(self.request("GET", "/api/doubts")[2])


def prepare(root: Path) -> tuple[Path, Path]:
    """Make a champion that knows one of two photos, with a suspect and a finding to show."""
    project = Project(root)
    params = PARAMS.read_text()
    PARAMS.write_text(params.replace("\ndata:\n", f"\ndata:\n  max_bytes: {MAX_BYTES}\n"))
    state, spec = load_state(project.model)
    faces = replace(FaceSet.load(project.faces), subjects=SUBJECTS)
    images = faces.images.clone()  # before the file that they are mapped from is replaced
    # A random network's features are so small that without this all images would look alike.
    features = Classifier.load(project.model).outputs(images)[0]
    (weight,) = (key for key, each in state.items() if each.shape == (3, features.shape[1]))
    state = {**state, weight: state[weight] * 20 / features.norm(dim=1).mean()}
    save_network(project.model, state, replace(spec, subjects=SUBJECTS))
    replace(faces, images=images).save(project.faces)
    finish_run(project)
    photos = (Path("one.png"), Path("two.png"))
    for row, photo in enumerate(photos):
        Image.fromarray(images[4 + row].permute(1, 2, 0).numpy()).save(photo)
    classifier, threshold = Classifier.load(project.model), threshold_for(project, 0.0)
    features, logits = classifier.outputs(images[4:6])
    assert threshold.means is not None
    scores = known_scores(logits, features, spec.temperature, threshold.means)["probability"]
    photos = photos if scores[0] > scores[1] else photos[::-1]
    replace(threshold, value=float(scores.mean())).save(Path("own.safetensors"))
    promote(project.record, 0.5, MODEL, Path("own.safetensors"))
    with paths.MANIFEST.open("w", newline="") as file:
        rows = zip(FILES, faces.labels.tolist(), faces.split.tolist(), strict=True)
        table = csv.writer(file)
        table.writerow(("file", "subject", "split", "sha256"))
        names = ("train", "val", "test")
        table.writerows((f, SUBJECTS[label], names[split], "0") for f, label, split in rows)
    found = {"kind": "conflicting_label", "files": [FILES[0], FILES[5]], "note": "the same pixels"}
    broken = {"kind": "unreadable", "files": ["x.png"], "note": ""}
    paths.AUDIT.write_text(json.dumps({"findings": [found, broken]}))
    paths.LABELS.parent.mkdir(exist_ok=True)
    suspect = Suspect(FILES[3], "ann", HOSTILE, 0.9, 0.8)
    write_suspects(paths.LABELS, [suspect], origin=ORIGIN, faces_md5=digest(paths.FACES))
    return root / photos[0], root / photos[1]


def start(root: Path, scratch: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "src.demo", "--port", "0", *options],
        cwd=root,
        env={**os.environ, **QUIET, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.match(r"open http://127\.0\.0\.1:(\d+); Ctrl-C ends it\n", line):
            return process, int(found[1])
    raise AssertionError(said)
