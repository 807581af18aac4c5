"""`python -m src.labels` on packed faces whose features tell them apart."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src import cli, paths
from src.crossvalidate import outputs
from src.data.corrections import Correction, write_corrections
from src.data.faceset import FaceSet
from src.evaluation.predictions import Predictions
from src.files import digest, write_csv
from src.labels.__main__ import main, show
from src.labels.suspects import Suspect, read_suspects
from src.training.features import BlockFeatures, FeatureProvenance, Features
from tests import fabricate
from tests.shipped import SHIPPED

SUBJECTS = ("ann", "bob [x]", "cem")
EACH, WRONG = 12, 13  # images of each subject; the row of bob's that is said to show ann
ORIGIN = "data/synthetic.yaml"


@pytest.fixture
def truth() -> torch.Tensor:
    return torch.arange(len(SUBJECTS)).repeat_interleave(EACH)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: torch.Tensor) -> Path:
    """A folder with packed faces, of which one has a wrong label, and features, entered."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(SHIPPED / "params.yaml", tmp_path)
    Path("data").mkdir()
    labels = truth.clone()
    labels[WRONG] = 0
    save_faces(labels)
    return tmp_path


def save_faces(labels: torch.Tensor) -> None:
    """Faces with these labels, their manifest and features: a noisy block and a clear one."""
    split = torch.tensor([0] * 8 + [1] * 2 + [2] * 2, dtype=torch.uint8).repeat(len(SUBJECTS))
    FaceSet(torch.zeros(len(labels), 3, 16, 16, dtype=torch.uint8), labels, split, SUBJECTS).save(
        paths.FACES
    )
    names = [SUBJECTS[label] for label in labels]
    rows = ((f"{row}.png", name, "", "") for row, name in enumerate(names))
    write_csv(paths.MANIFEST, ("file", "subject", "split", "sha256"), rows)
    truth = torch.arange(len(SUBJECTS)).repeat_interleave(EACH)
    noise = torch.randn(len(labels), 24, generator=torch.Generator().manual_seed(0))
    clear = torch.eye(3)[truth].repeat(1, 8) + 0.1 * noise
    training, validation = splits = split == 0, split == 1
    blocks = {
        name: BlockFeatures(*(torch.stack([values[rows], noise[rows]]) for rows in splits))
        for name, values in (("clear", clear), ("noisy", noise))
    }
    made = FeatureProvenance(digest(paths.FACES), "", "freeze", (0.0,), (1.0,), "", "", "float32")
    Features(blocks, labels[training], labels[validation], {}, SUBJECTS, made, "").save(
        paths.FEATURES
    )


def listed() -> tuple[Suspect, ...]:
    found = read_suspects(paths.LABELS, digest(paths.FACES))
    assert found is not None
    return found


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.run(main, list(options))
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


def test_the_wrong_label_comes_first_with_the_right_name(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([])
    printed = capsys.readouterr()
    first = listed()[0]
    assert (first.file, first.subject, first.suggested) == (f"{WRONG}.png", "ann", "bob [x]")
    assert 0 < first.margin < first.probability
    assert printed.out.splitlines()[1].split()[:4] == [f"{WRONG}.png", "ann", "bob", "[x]"]
    assert "\x1b" not in printed.out
    assert "of 30 training and validation images" in printed.err
    assert "classifiers by features of clear agree with 97% of all labels" in printed.err


def test_json_is_what_the_file_holds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(paths.LABELS.read_text())
    assert printed["origin"] == ORIGIN and printed["faces_md5"] == digest(paths.FACES)


def test_test_images_are_never_listed(project: Path, truth: torch.Tensor) -> None:
    labels = truth.clone()
    labels[10], labels[WRONG] = 1, 2  # a test image and a training image
    save_faces(labels)
    main([])
    assert f"{WRONG}.png" in {each.file for each in listed()}
    assert not {each.file for each in listed()} & {f"{row}.png" for row in (10, 11, 22, 23, 34, 35)}


@pytest.mark.parametrize(
    "kept",
    [
        Correction(ORIGIN, f"{WRONG}.png", "ann", "keep"),
        Correction(f"./{ORIGIN}", f"{WRONG}.png", "ann", "keep"),
        Correction(ORIGIN, f"{WRONG}.png", "cem", "rename", "ann"),
        Correction(ORIGIN, f"{WRONG}.png", "ann", "rename", "cem"),  # `dvc repro` has not run yet
    ],
)
def test_an_image_whose_subject_a_person_decided_is_not_listed_again(
    project: Path, capsys: pytest.CaptureFixture[str], kept: Correction
) -> None:
    write_corrections(Path("data/corrections.csv"), [kept])
    main([])
    assert f"{WRONG}.png" not in {each.file for each in listed()}
    assert "and 1 whose subject was decided" in capsys.readouterr().err
    write_corrections(Path("data/corrections.csv"), [replace(kept, origin="elsewhere")])
    main([])
    assert f"{WRONG}.png" in {each.file for each in listed()}


def test_networks_of_a_crossvalidation_can_be_asked_instead(
    project: Path, truth: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = FaceSet.load(paths.FACES)
    logits = 4 * np.eye(len(SUBJECTS), dtype=np.float32)[truth.numpy()][None]
    rows = np.arange(len(faces))[::-1].copy()
    labels = faces.labels.numpy()[rows]
    images = faces.digest(torch.from_numpy(rows))
    answers = {"ModelA": logits[:, rows]}
    Predictions(answers, labels, rows, SUBJECTS, images=images).save(outputs.PREDICTIONS)
    main(["--folds", "ModelA"])
    (found,) = listed()
    share = float(torch.softmax(torch.tensor([4.0, 0, 0]), 0)[0])
    assert found.file == f"{WRONG}.png" and found.probability == pytest.approx(share)
    assert "networks of ModelA" in capsys.readouterr().err
    assert "has no experiment Other; it has ModelA" in refusal(capsys, "--folds", "Other")
    replace(faces, images=255 - faces.images).save(paths.FACES)
    assert "made from other faces or labels" in refusal(capsys, "--folds", "ModelA")
    save_faces(truth)
    assert "made from other faces or labels" in refusal(capsys, "--folds", "ModelA")


def test_inputs_that_do_not_belong_together_are_refused(
    project: Path, truth: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    features = paths.FEATURES.read_bytes()
    manifest = paths.MANIFEST.read_bytes()
    assert "crossvalidation/predictions.safetensors: no such file" in refusal(
        capsys, "--folds", "ModelA"
    )
    save_faces(truth)
    paths.FEATURES.write_bytes(features)
    assert "not made from data/faces.safetensors" in refusal(capsys)
    paths.MANIFEST.write_bytes(manifest)
    assert "of another dataset" in refusal(capsys)
    paths.FEATURES.unlink()
    save_faces(truth)
    paths.FEATURES.unlink()
    assert "data/features.safetensors: no such file" in refusal(capsys)
    paths.FACES.unlink()
    assert "data/faces.safetensors: no such file" in refusal(capsys)
    assert not paths.LABELS.exists()


def test_a_subject_with_fewer_images_than_folds_is_judged_too(
    project: Path, truth: torch.Tensor
) -> None:
    labels = truth.clone()
    labels[26:34] = 1  # of cem, two images are left for training and validation
    save_faces(labels)
    main([])
    assert listed()


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"faces_md5": "a", "suspects": [{"file": "x"}]}', '{"a": NaN']
)
def test_a_file_that_is_missing_or_foreign_holds_no_suspects(
    tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "labels.json"
    if text is not None:
        path.write_text(text)
    assert read_suspects(path, "a") is None


def test_suspects_of_another_dataset_are_not_read(project: Path) -> None:
    main([])
    assert listed()
    assert read_suspects(paths.LABELS, "another") is None


def test_help_has_examples_that_parse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "python -m src.labels --json" in capsys.readouterr().out.split("examples:")[1]
    with pytest.raises(SystemExit, match="2"):
        main(["--top", "0"])


def test_faces_that_dvc_packed_from_another_origin_are_not_named_by_this_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fabricate.write_lock(Path(), f"./{ORIGIN}", digest(paths.FACES))
    main([])
    paths.LABELS.unlink()
    capsys.readouterr()
    fabricate.write_lock(Path(), "faces.zip", digest(paths.FACES))
    said = "data/faces.safetensors: packed from faces.zip, but data.origin is data/synthetic.yaml"
    assert f"{said}; run `dvc repro dataset`" in refusal(capsys)
    assert not paths.LABELS.exists()


@pytest.mark.parametrize("lock", ["", "schema: '2.0'", "stages: {dataset: null}", "{", "[1]"])
def test_where_dvc_says_nothing_of_the_packed_faces_they_are_taken(
    project: Path, lock: str
) -> None:
    Path("dvc.lock").write_text(lock)
    main([])
    fabricate.write_lock(Path(), "faces.zip", "the md5 of other faces")  # ours are not of DVC
    main([])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal_shows_the_whole_of_a_file_and_its_subjects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys, "stdout", out := Terminal())
    names = tuple(f"{word}/" * 12 for word in ("file", "given", "other"))
    show([Suspect(*names, 0.9, 0.8)])
    lines = [line.split("│") for line in out.getvalue().splitlines() if "│" in line]
    assert (
        tuple("".join(cells).replace(" ", "") for cells in [*zip(*lines, strict=True)][1:4])
        == names
    )
