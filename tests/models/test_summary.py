"""The layer table shows the head that is there, whatever its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config import PARAMS, Head, read_yaml
from src.files import write_json
from src.models.network import ModelSpec
from src.models.summary import layer_table, main
from tests.shipped import SHIPPED

SUBJECTS = ("ann", "bob", "eve")


@pytest.mark.parametrize(
    ("kind", "weights"), [("svm", "1,539"), ("centroid", "1,539"), ("knn", "0")]
)
def test_a_classical_head_is_shown_by_its_kind(
    kind: str,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = read_yaml(SHIPPED / PARAMS)
    raw["data"]["image_size"] = 32
    raw["experiments"] = {
        "A": {"train": ["head"], "head": {"kind": kind}, "batch_size": 1, "epochs": 1}
    }
    write_json(tmp_path / PARAMS, raw)
    monkeypatch.chdir(tmp_path)
    main(["--experiment", "A", "--classes", "3"])
    *table, _, total = capsys.readouterr().out.splitlines()
    shown = [line.split() for line in (*table, total) if line.startswith("fc")]
    assert [row[:4] for row in shown] == [["fc", f"({kind})", "3", weights]]
    assert f"{0 if kind == 'knn' else 1539:,} trainable" in total


def test_fewer_subjects_than_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--classes", "0"])
    assert "--classes is below 1" in capsys.readouterr().err


def test_the_table_of_a_trained_network_names_neighbours_and_layers_alike() -> None:
    spec = ModelSpec(
        backbone="resnet18",
        stem="standard",
        image_size=32,
        subjects=SUBJECTS,
        head=Head(kind="knn"),
        stored=7,
    )
    assert layer_table(spec, frozenset({"head"})).splitlines()[-1].split() == [
        "fc", "(knn)", "3", "0",
    ]  # fmt: skip
    mlp = ModelSpec(
        backbone="resnet18",
        stem="standard",
        image_size=32,
        subjects=SUBJECTS,
        head=Head(hidden=(8,), dropout=(0.5,)),
    )
    last = layer_table(mlp, frozenset({"head"})).splitlines()[-1]
    assert last.split() == ["fc.3", "3", "27", "yes"]
