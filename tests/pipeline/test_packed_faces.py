"""Stage `dataset` under DVC: what a failure leaves, and whose images its outputs are."""

from __future__ import annotations

import pytest

from src.config import PARAMS
from src.paths import AUDIT
from tests.data.conftest import subjects, write_folder
from tests.pipeline.repository import SMALL, Repository

pytestmark = pytest.mark.pipeline
CORRECTIONS = "data/corrections.csv"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose stage `dataset` has run, committed."""
    folder = tmp_path_factory.mktemp("packed")
    settings = SMALL | {"data": {"origin": "faces", "image_size": 32}}
    repository = Repository.with_pipeline(folder, settings)
    write_folder(folder / "faces", subjects(each=12))
    repository.run("dvc", "repro", "dataset")
    repository.commit("Faces")
    return repository


def test_outputs_that_dvc_removed_before_a_stage_failed_come_back(packed: Repository) -> None:
    names = ("faces.safetensors", "manifest.csv", "contact_sheet.png", AUDIT.name)
    outputs = [packed.folder / "data" / name for name in names]
    before = [path.read_bytes() for path in outputs]
    (packed.folder / CORRECTIONS).write_text("no corrections\n")
    packed.run("dvc", "repro", "dataset", fails=True)
    assert not [path for path in outputs if path.exists()]
    packed.run("dvc", "checkout", "dataset")
    packed.run("git", "restore", "data/audit.json", CORRECTIONS)
    assert [path.read_bytes() for path in outputs] == before


def test_packed_faces_are_refused_once_params_name_another_origin(packed: Repository) -> None:
    params = packed.folder / PARAMS
    given = params.read_text()
    params.write_text(given.replace('"origin": "faces"', '"origin": "others"'))
    said = packed.run("python", "-m", "src.labels", fails=True)
    params.write_text(given)
    assert "error: data/faces.safetensors: packed from faces, but data.origin is others" in said
    assert "features.safetensors: no such file" in packed.run(
        "python", "-m", "src.labels", fails=True
    )
