"""The cards say what the files say, of the network that is kept, and treat names as data."""

from __future__ import annotations

import json
import re
from math import sqrt
from pathlib import Path

import pytest

from pipelines.report import main
from src import paths
from src.config import PARAMS
from src.data.faceset import FaceSet, Split
from src.evaluation.predictions import Predictions
from src.evaluation.strangers import measure, set_threshold
from src.evaluation.strangers_figure import strangers_figure
from src.files import write_json
from src.plotting import save_png
from src.tracking.record import DatasetVersion, RunRecord
from tests import fabricate

BEST = "ModelA"
Z = 1.959963984540054
BIOMETRIC = "Faces are biometric data."


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fabricated project with several seeds, strangers, an origin file, and its cards."""
    root = tmp_path_factory.mktemp("cards")
    fabricate.write_project(root, fabricate.faces(), seeds=3)
    record = RunRecord.read(root / paths.run_record(BEST))
    version = DatasetVersion(
        name="synthetic", path="../data/faces.safetensors", md5="0" * 32,
        origin="data/synthetic.yaml", origin_md5="f" * 32, images=75, subjects=3,
    )  # fmt: skip
    given = {"weights.origin": "own.safetensors", "weights.licence": "CC BY 4.0 | <b>"}
    record.model_copy(update={"params": given, "dataset": version}).write(
        root / paths.run_record(BEST)
    )
    (root / "data/synthetic.yaml").write_text("kind: synthetic\nsubjects: 3\n")
    halves = fabricate.halves()
    threshold = set_threshold(halves.setting, halves.means, far=0.01, model="", experiment=BEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_json(paths.UNKNOWN_METRICS, measure(halves, threshold))
        save_png(strangers_figure(halves.measuring, threshold), paths.strangers_figure(BEST))
        main([])
    return root


@pytest.fixture(scope="module")
def model_card(root: Path) -> str:
    return (root / paths.MODEL_CARD).read_text()


@pytest.fixture(scope="module")
def dataset_card(root: Path) -> str:
    return (root / paths.DATASET_CARD).read_text()


def cells(card: str, columns: int) -> list[list[str]]:
    """The rows of a card's table with so many columns, without its header."""
    lines = [line for line in card.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in found if len(row) == columns][2:]


def test_accuracies_of_subjects_are_those_of_the_kept_networks_predictions(
    root: Path, model_card: str
) -> None:
    made = Predictions.load(root / paths.PREDICTIONS)
    rows = cells(model_card, 5)
    assert len(rows) == len(made.subjects)
    expected = []
    for label in range(len(made.subjects)):
        answers = made.logits[BEST][0][made.labels == label].argmax(axis=1)
        right, n = int((answers == label).sum()), len(answers)
        p = right / n
        middle, half = p + Z**2 / (2 * n), Z * sqrt(p * (1 - p) / n + Z**2 / (4 * n * n))
        low, high = ((middle + sign * half) / (1 + Z**2 / n) for sign in (-1, 1))
        expected.append([str(right), str(n), f"{p:.1%}", f"{low:.1%} to {min(high, 1):.1%}"])
    assert sorted(row[1:] for row in rows) == sorted(expected)
    assert [float(row[3][:-1]) for row in rows] == sorted(float(row[3][:-1]) for row in rows)


def test_the_model_card_has_the_figures_of_the_files(root: Path, model_card: str) -> None:
    scores = json.loads((root / paths.TEST_METRICS).read_text())[BEST]
    assert (
        f"{scores['accuracy']:.1%}, 95% interval {100 * scores['accuracy_low']:.1f}" in model_card
    )
    assert "mean of 3 seeds" in model_card
    made = Predictions.load(root / paths.PREDICTIONS)
    right = int((made.logits[BEST][0].argmax(axis=1) == made.labels).sum())
    assert f"is right on {right} of them: {right / len(made.labels):.1%} (" in model_card
    assert f"is {scores['ece']:.3f}, and {scores['ece_uncalibrated']:.3f} without" in model_card
    assert f"T = {scores['temperature']:.2f}" in model_card
    found = json.loads((root / paths.UNKNOWN_METRICS).read_text())
    own = found["scores"][found["score"]]
    assert f"AUROC {own['auroc']:.3f}" in model_card
    for rate in ("far", "frr"):
        assert f"{own[rate]:.1%} of" in model_card
        assert f"{own[rate + '_low']:.1%} to {own[rate + '_high']:.1%})" in model_card
    assert "commit 0123456789ab with uncommitted changes" in model_card
    assert "own.safetensors. Licence: CC BY 4.0 \\| &lt;b>." in model_card
    assert BIOMETRIC in model_card


def test_the_dataset_card_counts_the_images_of_every_subject(root: Path, dataset_card: str) -> None:
    faces = FaceSet.load(root / paths.FACES)
    expected = [
        [str(int((faces.labels[faces.split == split.value] == label).sum())) for split in Split]
        for label in range(len(faces.subjects))
    ]
    assert [row[1:] for row in cells(dataset_card, 4)] == expected
    assert "32 × 32 pixels" in dataset_card
    assert "md5 " + "f" * 32 in dataset_card
    assert "| near duplicate | 1 | 0 |" in dataset_card
    assert "none is a photograph of anyone" in dataset_card
    assert BIOMETRIC in dataset_card


def test_the_dataset_card_counts_an_image_once_and_an_empty_subject_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    pairs = [
        {"kind": "near_duplicate", "files": [one, "c.jpg"], "note": "", "dropped": ["c.jpg"]}
        for one in ("a.jpg", "b.jpg")
    ]
    empty = {"kind": "empty_subject", "files": ["eve"], "note": "", "dropped": ["eve"]}
    unlisted = {**pairs[0], "files": [], "dropped": [], "count": 1000}
    write_json(paths.AUDIT, {"findings": [*pairs, unlisted, empty]})
    main([])
    card = paths.DATASET_CARD.read_text()
    assert "| near duplicate | 1002 | 1 |" in card and "| empty subject | 1 | 0 |" in card


def test_drawn_objects_are_nobodys_photographs_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    origin = Path(json.loads(Path(PARAMS).read_text())["data"]["origin"])
    origin.write_text("kind: objects\n")
    main([])
    assert "none is a photograph of anyone" in paths.DATASET_CARD.read_text()


@pytest.mark.parametrize(
    ("selected", "said"),
    [
        (True, "Validation images choose epochs and experiments; "),
        (False, "Validation images choose experiments, and no epochs; "),
    ],
)
def test_the_dataset_card_says_what_validation_images_choose(
    selected: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    for name in fabricate.EXPERIMENTS:
        path = paths.train_metrics(name)
        write_json(path, json.loads(path.read_text()) | {"selected": selected})
    main([])
    assert said in paths.DATASET_CARD.read_text()


def test_names_are_text_and_never_markup(model_card: str, dataset_card: str) -> None:
    for card in (model_card, dataset_card):
        assert "<script" not in card
        assert "&lt;script>alert(1)" in card
        assert r"\$x\_1\$ &amp; co \| \*b\*" in card


def test_without_strangers_and_findings_no_section_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    write_json(paths.AUDIT, {"findings": []})
    main([])
    model, dataset = paths.MODEL_CARD.read_text(), paths.DATASET_CARD.read_text()
    assert "## Strangers" not in model and "give a stranger one of their names" in model
    assert "Nothing to report" in dataset
    for card in (model, dataset):
        assert not re.search(r"^##[^\n]*\n+(#|\Z)", card, re.MULTILINE)
        assert "\n\n\n" not in card


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kind: folder\n", "not known: the origin states no licence or terms"),
        ("kind: x\nlicence: for research alone\n", "Licence or terms: for research alone."),
        (None, "not known"),
    ],
)
def test_terms_are_those_that_the_origin_file_states_or_not_known(
    content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricate.write_project(tmp_path, fabricate.faces())
    monkeypatch.chdir(tmp_path)
    if content is not None:
        origin = Path(json.loads(Path(PARAMS).read_text())["data"]["origin"])
        origin.write_text(content)
    main([])
    card = paths.DATASET_CARD.read_text()
    assert said in card
    assert "none is a photograph" not in card and "whether the people in them agreed" in card
