"""A real server answers about real photos as `src.predict` does, and keeps none of them."""

from __future__ import annotations

import base64
import http.client
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src import predict
from src.data.faceset import FaceSet
from src.models.classifier import Classifier
from tests.corpus.images import png
from tests.demo.served import MAX_BYTES, ORIGIN, SUBJECTS, Served
from tests.tracking.projects import MODEL, Project


def image_of(source: str) -> np.ndarray[Any, Any]:
    kind, _, content = source.partition(",")
    assert kind == "data:image/png;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(content))))


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    every = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in every}


def test_a_photo_gets_the_answer_of_src_predict(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(served.root)
    predict.main(["--json", *map(str, served.photos)])
    expected = json.loads(capsys.readouterr().out)
    assert [each["unknown"] for each in expected] == [False, True]
    for photo, wanted in zip(served.photos, expected, strict=True):
        status, given = served.answer(photo.read_bytes())
        assert status == 200
        assert {key: given[key] for key in ("name", "unknown", "candidates")} == {
            key: wanted[key] for key in ("name", "unknown", "candidates")
        }
        for ours, theirs in zip(given["subjects"], wanted["subjects"], strict=True):
            assert ours["subject"] == theirs["subject"]
            assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)


def test_the_page_is_told_which_version_answers(served: Served) -> None:
    about = json.loads(served.request("GET", "/api/about")[2])
    assert about == {
        "model": f"models:/{MODEL}/1 (ModelA on {ORIGIN})",
        "subjects": 3,
        "knows_strangers": True,
        "max_bytes": MAX_BYTES,
    }


def test_the_photo_as_seen_its_heat_map_and_the_nearest_training_faces_are_shown(
    served: Served,
) -> None:
    photo = served.photos[0]
    _, given = served.answer(photo.read_bytes())
    seen, heat = image_of(given["seen"]), image_of(given["heat"])
    assert np.array_equal(seen, np.array(Image.open(photo)))
    assert heat.shape == seen.shape and not np.array_equal(heat, seen)
    status, found = served.answer(photo.read_bytes(), "nearest")
    assert (status, found["note"]) == (200, "")
    classifier = Classifier.load(served.root / Project.model)
    faces = FaceSet.load(served.root / Project.faces)
    image = torch.from_numpy(seen.copy()).permute(2, 0, 1)[None]
    features = classifier.outputs(torch.cat([image, faces.images[:3]]))[0].double()
    cosines = features[1:] @ features[0] / features[1:].norm(dim=1) / features[0].norm()
    for near, row in zip(found["nearest"], cosines.argsort(descending=True), strict=True):
        assert near["distance"] == pytest.approx(1 - float(cosines[row]), abs=2e-4)
        assert near["subject"] == SUBJECTS[int(row)]
        wanted = faces.images[int(row)].permute(1, 2, 0).numpy()
        assert np.array_equal(image_of(near["image"]), wanted)


@pytest.mark.parametrize("about", ["answer", "nearest"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no image", png(32, 32, bytes(10)), png(16_000, 16_000, bytes(50_000)), b"\xff\xd8" * 9],
    ids=["empty", "text", "broken", "bomb", "cut"],
)
def test_what_is_no_sound_photo_is_refused_on_one_line(
    served: Served, content: bytes, about: str
) -> None:
    status, answer = served.answer(content, about)
    assert status == 400
    assert answer["error"].startswith("photo: ") and "\n" not in answer["error"]
    assert served.answer(served.photos[0].read_bytes())[0] == 200


def test_a_photo_that_is_too_large_is_refused_before_it_is_read(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.putrequest("POST", "/api/answer")
    connection.putheader("Origin", served.address)
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read()) == {
        "error": "photo: too large: more than 100,000 bytes; send less"
    }


def test_a_photo_of_unstated_size_is_read_no_further_than_allowed(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    headers = {"Origin": served.address, "Transfer-Encoding": "chunked"}
    connection.putrequest("POST", "/api/answer")
    for key, value in headers.items():
        connection.putheader(key, value)
    connection.endheaders()
    part = bytes(MAX_BYTES // 2 + 1)
    for _ in range(2):  # and no end
        connection.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    assert connection.getresponse().status == 413


def test_nothing_is_stored_when_photos_are_answered(undecided: Served) -> None:
    before = tree(undecided.root), tree(undecided.scratch)
    for photo in undecided.photos:
        for about in ("answer", "nearest"):
            assert undecided.answer(photo.read_bytes(), about)[0] == 200
            assert undecided.answer(b"broken", about)[0] == 400
    assert (tree(undecided.root), tree(undecided.scratch)) == before
