"""Labels in doubt are listed, and decisions about them are kept and taken back."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src import paths
from src.config import PARAMS
from src.data.corrections import Correction, read_corrections, write_corrections
from src.data.faceset import FaceSet
from src.files import digest
from tests import fabricate
from tests.demo.served import CORRECTIONS, FILES, HOSTILE, ORIGIN, Served
from tests.tracking.projects import Project


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
    faces, version = FaceSet.load(undecided.root / Project.faces), listing["version"]
    for item in listing["items"]:
        row = FILES.index(item["file"])
        status, headers, body = undecided.request("GET", f"/api/images/{version}/{item['row']}")
        assert (status, headers["content-type"]) == (200, "image/png")
        wanted = faces.images[row].permute(1, 2, 0).numpy()
        assert np.array_equal(np.array(Image.open(io.BytesIO(body))), wanted)
    assert undecided.request("GET", f"/api/images/{version}/6")[0] == 400
    assert undecided.request("GET", f"/api/images/{version}/-1")[0] == 400


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


def test_decisions_go_to_the_file_that_params_names_now(undecided: Served) -> None:
    params = undecided.root / PARAMS
    before, version = params.read_text(), undecided.listing()["version"]
    params.write_text(before.replace(CORRECTIONS.as_posix(), "data/others.csv"))
    try:
        decision = {"file": FILES[0], "decision": "drop"}
        assert undecided.listing()["file"] == "data/others.csv"
        assert undecided.decide(decision, version=version)[0] == 400  # an earlier page's
        assert undecided.decide(decision) == (200, {"decisions": 1})
        assert read_corrections(undecided.root / "data/others.csv")
        assert not read_corrections(undecided.root / CORRECTIONS)
    finally:
        params.write_text(before)
        (undecided.root / "data/others.csv").unlink(missing_ok=True)


def test_a_decision_about_the_origin_by_another_path_to_it_is_shown_and_replaced(
    undecided: Served,
) -> None:
    file = undecided.root / CORRECTIONS
    write_corrections(file, [Correction(f"./{ORIGIN}", FILES[0], "ann", "drop")])
    assert undecided.doubts()[FILES[0]]["decision"] == "drop"
    assert undecided.decide({"file": FILES[0], "decision": "keep"}) == (200, {"decisions": 1})
    assert read_corrections(file) == (Correction(ORIGIN, FILES[0], "ann", "keep"),)


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


def test_a_rename_that_was_taken_back_leaves_the_name_that_the_origin_gave(
    undecided: Served,
) -> None:
    file = undecided.root / CORRECTIONS
    write_corrections(file, [Correction(ORIGIN, FILES[5], "bob", "rename", "eve")])
    undecided.decide({"file": FILES[5], "decision": None})
    assert undecided.doubts()[FILES[5]]["subject"] == "bob"
    undecided.decide({"file": FILES[5], "decision": "keep"})
    assert read_corrections(file) == (Correction(ORIGIN, FILES[5], "bob", "keep"),)


def test_a_page_of_an_earlier_dataset_gets_no_images_and_saves_nothing(undecided: Served) -> None:
    before = undecided.listing()["version"]
    params, packed = undecided.root / PARAMS, undecided.root / paths.FACES
    kept, faces = params.read_text(), packed.read_bytes()
    for change in ("origin", "faces"):
        if change == "origin":
            params.write_text(kept.replace(f"origin: {ORIGIN}", "origin: another.zip"))
        else:
            loaded = FaceSet.load(packed)
            images = loaded.images.flip(0)
            replace(loaded, images=images).save(packed)
        try:
            assert undecided.listing()["version"] != before
            status, _, body = undecided.request("GET", f"/api/images/{before}/0")
            assert status == 400 and "reload the page" in json.loads(body)["error"]
            decided = {"file": FILES[0], "decision": "drop"}
            status, answer = undecided.decide(decided, version=before)
            assert status == 400 and "reload the page" in answer["error"]
            assert not (undecided.root / CORRECTIONS).exists()
        finally:
            params.write_text(kept)
            packed.write_bytes(faces)


def test_after_an_edit_of_the_origin_no_image_is_shown_and_no_decision_written(
    undecided: Served,
) -> None:
    params, lock = undecided.root / PARAMS, undecided.root / "dvc.lock"
    fabricate.write_lock(undecided.root, f"./{ORIGIN}", digest(undecided.root / paths.FACES))
    version, given = undecided.listing()["version"], params.read_text()
    params.write_text(given.replace(f"origin: {ORIGIN}", "origin: another.zip"))
    try:
        assert f"packed from {ORIGIN}" in undecided.listing()["error"]
        decided = {"file": FILES[0], "decision": "drop"}
        status, answer = undecided.decide(decided, version=version)
        assert status == 400 and "run `dvc repro dataset`" in answer["error"]
        assert not (undecided.root / CORRECTIONS).exists()
    finally:
        params.write_text(given)
        lock.unlink()


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
    file, version = undecided.root / CORRECTIONS, undecided.listing()["version"]
    file.write_text("mine\n")
    status, _, body = undecided.request("GET", "/api/doubts")
    assert status == 400 and "its first line is not" in json.loads(body)["error"]
    assert undecided.decide({"file": FILES[0], "decision": "drop"}, version=version)[0] == 400
    assert file.read_text() == "mine\n"
