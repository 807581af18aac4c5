"""A real server answers about real photos and keeps decisions, for its own page alone."""

from __future__ import annotations

import base64
import csv
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from src import paths, predict
from src.config import PARAMS
from src.data.corrections import Correction, read_corrections, write_corrections
from src.data.faceset import FaceSet
from src.demo.__main__ import main
from src.errors import ConfigError, TrackingError
from src.files import digest
from src.labels.suspects import Suspect, write_suspects
from src.models.classifier import Classifier
from src.models.network import load_state, save_network
from src.models.threshold import known_scores
from src.tracking.registry import promote
from tests.chromium import chromium
from tests.corpus.images import png
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

    def decide(self, *decided: dict[str, Any]) -> tuple[int, Any]:
        content = json.dumps(decided).encode()
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


@pytest.fixture(scope="module")
def served(blueprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("demo") / "project"
    scratch = tmp_path_factory.mktemp("scratch")
    shutil.copytree(blueprint, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        photos = prepare(root)
    process, port = start(root, scratch)
    try:
        yield Served(root, port, scratch, photos)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def undecided(served: Served) -> Served:
    """No decisions yet."""
    (served.root / CORRECTIONS).unlink(missing_ok=True)
    return served


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


def test_doubts_are_listed_suspects_first_with_their_images(undecided: Served) -> None:
    listing = undecided.listing()
    shown = [(each["file"], each["kind"], each["subject"]) for each in listing["items"]]
    assert shown == [
        (FILES[3], "suspect", "ann"),
        (FILES[0], "conflicting_label", "ann"),
        (FILES[5], "conflicting_label", "eve"),
    ]
    assert [each["suggested"] for each in listing["items"]] == [HOSTILE, "eve", "ann"]
    assert listing["file"] == CORRECTIONS.as_posix()
    assert listing["notes"] == []
    faces = FaceSet.load(undecided.root / Project.faces)
    for item in listing["items"]:
        row = FILES.index(item["file"])
        status, headers, body = undecided.request("GET", f"/api/images/{item['row']}")
        assert (status, headers["content-type"]) == (200, "image/png")
        wanted = faces.images[row].permute(1, 2, 0).numpy()
        assert np.array_equal(np.array(Image.open(io.BytesIO(body))), wanted)
    assert undecided.request("GET", "/api/images/6")[0] == 400
    assert undecided.request("GET", "/api/images/-1")[0] == 400


def test_without_suspects_the_page_says_how_to_find_some(
    undecided: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = undecided.root / paths.LABELS
    kept = listed.read_text()
    listed.write_text(kept.replace('"faces_md5": "', '"faces_md5": "another'))
    try:
        listing = undecided.listing()
    finally:
        listed.write_text(kept)
    assert [each["kind"] for each in listing["items"]] == ["conflicting_label"] * 2
    assert "run python -m src.labels" in listing["notes"][0]


def test_decisions_are_written_shown_as_made_and_can_be_taken_back(undecided: Served) -> None:
    file = undecided.root / CORRECTIONS
    elsewhere = Correction("another.zip", FILES[0], "ann", "drop")
    write_corrections(file, [elsewhere])
    status, answer = undecided.decide(
        {"file": FILES[3], "decision": "rename", "to": HOSTILE},
        {"file": FILES[0], "decision": "drop"},
        {"file": FILES[5], "decision": "keep"},
    )
    assert (status, answer) == (200, {"decisions": 4})
    assert {*read_corrections(file)} == {
        elsewhere,
        Correction(ORIGIN, FILES[3], "ann", "rename", HOSTILE),
        Correction(ORIGIN, FILES[0], "ann", "drop"),
        Correction(ORIGIN, FILES[5], "eve", "keep"),
    }
    shown = undecided.doubts()
    assert (shown[FILES[3]]["decision"], shown[FILES[3]]["to"]) == ("rename", HOSTILE)
    assert shown[FILES[0]]["decision"] == "drop"
    undecided.decide({"file": FILES[3], "decision": None}, {"file": FILES[0], "decision": "keep"})
    assert {*read_corrections(file)} == {
        elsewhere,
        Correction(ORIGIN, FILES[0], "ann", "keep"),
        Correction(ORIGIN, FILES[5], "eve", "keep"),
    }
    assert undecided.doubts()[FILES[3]]["decision"] is None


def test_an_image_that_a_decision_left_out_is_still_shown_and_can_be_taken_back(
    undecided: Served,
) -> None:
    file = undecided.root / CORRECTIONS
    write_corrections(file, [Correction(ORIGIN, "gone.png", "eve", "drop")])
    gone = undecided.doubts()["gone.png"]
    assert (gone["kind"], gone["row"], gone["subject"]) == ("decided", None, "eve")
    assert undecided.decide({"file": "gone.png", "decision": None}) == (200, {"decisions": 0})
    assert read_corrections(file) == ()


def test_a_second_decision_keeps_the_name_that_the_origin_gave(undecided: Served) -> None:
    file = undecided.root / CORRECTIONS
    # As after `dvc repro`: eve is what an earlier decision made of bob.
    write_corrections(file, [Correction(ORIGIN, FILES[5], "bob", "rename", "eve")])
    undecided.decide({"file": FILES[5], "decision": "rename", "to": "ann"})
    assert read_corrections(file) == (Correction(ORIGIN, FILES[5], "bob", "rename", "ann"),)


@pytest.mark.parametrize(
    "decided",
    [
        {"file": "../../etc/passwd", "decision": "drop"},
        {"file": "x\ny,z", "decision": "drop"},
        {"file": "\ud800", "decision": "drop"},
        {"file": FILES[0], "decision": "rename", "to": "nobody"},
        {"file": FILES[0], "decision": "rename", "to": ""},
        {"file": FILES[0], "decision": "rename", "to": "ann"},
        {"file": FILES[0], "decision": "delete"},
        {"file": FILES[0], "decision": "drop", "origin": "x"},
        {"file": 1, "decision": "drop"},
        {"decision": "drop"},
        "drop",
    ],
)
def test_decisions_about_what_there_is_not_are_refused_as_a_whole(
    undecided: Served, decided: Any
) -> None:
    status, answer = undecided.decide({"file": FILES[3], "decision": "keep"}, decided)
    assert status == 400
    assert "\n" not in answer["error"] and len(answer["error"]) < 500
    assert not (undecided.root / CORRECTIONS).exists()


@pytest.mark.parametrize(
    ("status", "kind", "content"),
    [
        (400, "application/json", b"[" * 200_000),
        (400, "application/json", b"\xff"),
        (400, "application/json", b""),
        (413, "application/json", b" " * 2**20 + b"[]"),
        (415, "text/plain", b"[]"),
        (415, "application/x-www-form-urlencoded", b"[]"),
        (415, None, b"[]"),
    ],
    ids=["deep", "no text", "empty", "huge", "plain", "form", "none"],
)
def test_a_hostile_list_of_decisions_is_one_line(
    undecided: Served, status: int, kind: str | None, content: bytes
) -> None:
    found, _, answer = undecided.request("POST", "/api/decisions", content, content_type=kind)
    assert found == status
    assert "\n" not in json.loads(answer)["error"]
    assert not (undecided.root / CORRECTIONS).exists()


def test_a_broken_file_of_corrections_is_named_and_left_alone(undecided: Served) -> None:
    file = undecided.root / CORRECTIONS
    file.write_text("mine\n")
    status, _, body = undecided.request("GET", "/api/doubts")
    assert status == 400 and "its first line is not" in json.loads(body)["error"]
    assert undecided.decide({"file": FILES[0], "decision": "drop"})[0] == 400
    assert file.read_text() == "mine\n"


def test_nothing_is_stored_when_photos_are_answered(undecided: Served) -> None:
    before = tree(undecided.root), tree(undecided.scratch)
    for photo in undecided.photos:
        for about in ("answer", "nearest"):
            assert undecided.answer(photo.read_bytes(), about)[0] == 200
            assert undecided.answer(b"broken", about)[0] == 400
    assert (tree(undecided.root), tree(undecided.scratch)) == before


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_a_browser_shows_both_tabs_and_saves_what_is_chosen(
    undecided: Served, tmp_path: Path
) -> None:
    with chromium(tmp_path) as browser:
        browser.open(undecided.address)
        browser.wait("document.querySelectorAll('#doubts > li').length === 3")
        browser.choose("#file", undecided.photos[1])
        browser.wait("document.querySelectorAll('#nearest > li').length === 3")
        assert browser.text("#name") == "unknown"
        assert HOSTILE in browser.text("#bars")  # as text
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"broken")
        browser.choose("#file", broken)
        browser.wait("!document.querySelector('#face-error').hidden")
        assert browser.text("#face-error").startswith("photo: not an image in a known format")
        broken.write_bytes(bytes(MAX_BYTES + 1))
        browser.choose("#file", broken)
        browser.wait("document.querySelector('#face-error').innerText.includes('too large')")
        browser.click("#camera")
        browser.wait("document.querySelector('#video').videoWidth > 0")
        browser.click("#take")
        browser.wait("!document.querySelector('#answer').hidden")

        browser.run("document.querySelector('#tab-face').focus()")
        browser.press("ArrowRight", 39)
        browser.wait("!document.querySelector('#labels').hidden")
        assert browser.run("document.activeElement.id") == "tab-labels"
        assert browser.text("#doubts h3") == f"ann → {HOSTILE}?"
        assert browser.run("document.querySelectorAll('#doubts img').length") == 3
        browser.click("#doubts input[value=rename]")
        assert browser.text("#unsaved") == "1 unsaved decision"
        browser.click("#save")
        browser.wait("document.querySelector('#unsaved').innerText.startsWith('Saved 1')")
        made = Correction(ORIGIN, FILES[3], "ann", "rename", HOSTILE)
        assert read_corrections(undecided.root / CORRECTIONS) == (made,)
        assert browser.run("document.querySelector('#doubts input[value=rename]').checked")
        browser.screenshot(tmp_path / "narrow.png", width=390)
        assert browser.run("document.documentElement.scrollWidth") <= 390
    asked = {urlsplit(url).netloc for url in browser.requested if not url.startswith("data:")}
    assert asked == {f"127.0.0.1:{undecided.port}"}
    problems = [each for each in browser.problems if "400 (Bad Request)" not in each]
    assert problems == []


@pytest.mark.long
def test_ctrl_c_ends_it_on_one_line(served: Served, tmp_path: Path) -> None:
    process, _ = start(served.root, tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "stopped\n")


def test_without_a_champion_one_line_says_so(project: Project) -> None:
    with pytest.raises(TrackingError, match=f"^models:/{MODEL}@champion: no champion yet"):
        main(["--port", "0"])


def test_a_port_that_is_taken_is_one_line(served: Served, project: Project) -> None:
    with pytest.raises(ConfigError, match=f"^port {served.port}: already in use; choose"):
        main(["--port", str(served.port), "--model", str(project.model)])
    with pytest.raises(ConfigError, match=r"^port 99999: cannot be used"):
        main(["--port", "99999", "--model", str(project.model)])
