"""The comparison with other libraries, without their environments."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.__main__ import compare, main, prepare
from benchmarks.peers.comparison import Result, table
from benchmarks.peers.contenders import IMAGES, PEERS, Contender
from src import paths
from src.data.faceset import FaceSet, Split

OPTIONS = Namespace(seeds=1, epochs=1, peer_epochs=2, threads=1, precision="float32", minutes=5)


def result(seed: int, seconds: float, test: float, *val: float) -> Result:
    history = tuple((float(number), found) for number, found in enumerate(val, 1))
    versions = {"torch": "2.15.0"}
    return Result(seed, 2, 8, 64, "float32", seconds, seconds + 3, history, test, 1500.0, versions)


def test_the_exported_images_have_the_packed_bytes_and_splits(project: Path) -> None:
    (project / IMAGES / "train/0009").mkdir(parents=True)
    prepare("float32")
    faces = FaceSet.load(paths.FACES)
    found = sorted(IMAGES.glob("*/*/*.png"))
    assert len(found) == len(faces) and not (IMAGES / "train/0009").exists()
    for path in found:
        row = int(path.stem)
        assert path.parts[-3:-1] == (Split(int(faces.split[row])).name, f"{faces.labels[row]:04d}")
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), faces.images[row].permute(1, 2, 0).numpy())


def test_the_table_has_means_ranges_ratios_by_seed_and_the_time_to_the_goal() -> None:
    ours = [result(0, 10.0, 0.9, 0.5, 0.95), result(1, 20.0, 0.8, 0.9, 0.9)]
    peer = [result(0, 30.0, 0.5, 0.1, 0.2), result(1, 40.0, 0.7, 0.1, 0.2)]
    _, _, first, second = table({"ModelA": ours, "timm": peer, "none": []}, ["ModelA"]).splitlines()
    assert "| 1.00 |" in first and "85.0% ± 7.1 (80.0 to 90.0)" in first
    assert "| 1.5 (2 of 2) |" in first and "torch 2.15.0" in first
    assert "| 35.0 (30.0 to 40.0) | 2.50 |" in second and "| never |" in second


@pytest.mark.long
@pytest.mark.usefixtures("project")
def test_a_peer_without_environment_or_that_fails_is_named_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare("float32")
    broken = Contender("broken", "", ("--experiment", "nobody"))
    contenders = [PEERS["timm"], broken, Contender("ModelA", "", ("--experiment", "ModelA"))]
    results, failures = compare(contenders, OPTIONS)
    assert len(failures) == 2
    assert failures[0].startswith("timm: has no environment") and "--setup" in failures[0]
    assert failures[1].startswith("broken: ") and "\n" not in failures[1]
    (found,) = results["ModelA"]
    assert Result.of(found).epochs == 1 and len(Result.of(found).history) == 1
    assert capsys.readouterr().err.count("\n") == 3, "a line for each"


@pytest.mark.usefixtures("project")
def test_a_peer_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--peer", "nobody"])
    assert "invalid choice: 'nobody'" in capsys.readouterr().err
