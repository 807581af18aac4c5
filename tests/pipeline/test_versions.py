"""Two versions of an own dataset under DVC: every run says which one it saw."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from src.data.synthetic.render import render_subjects
from src.files import digest
from src.preset import overrides
from tests.pipeline.repository import Repository
from tests.shipped import SHIPPED

pytestmark = pytest.mark.pipeline
ORIGIN = "data/own.tar.gz"


def pack(path: Path, subjects: int) -> None:
    """An archive with a folder of eight PNG files for each subject."""
    images = render_subjects(subjects, 8, 32, seed=3)
    with tarfile.open(path, "w:gz") as archive:
        for row, pixels in enumerate(images):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG")
            member = tarfile.TarInfo(f"own/subject_{row // 8}/{row % 8}.png")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)


def seen(repository: Repository) -> tuple[str, str]:
    """The MLflow run of the record at hand, and the origin's md5 on its page."""
    record = json.loads((repository.folder / "runs/Baseline.json").read_text())
    query = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'data.origin_md5'"
    ((md5,),) = repository.table(query, record["run_id"])
    return record["run_id"], md5


@pytest.mark.long
def test_each_run_shows_the_dataset_version_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SHIPPED)
    preset = [p for p in overrides("smoke") if not p.startswith(("data.origin", "weights."))]
    repository = Repository.with_pipeline(tmp_path)
    archive = repository.folder / ORIGIN

    pack(archive, 4)
    first = digest(archive)
    repository.run("dvc", "add", ORIGIN)
    origins = (f"data.origin={ORIGIN}", "weights.origin=weights/scratch.yaml")
    arguments = [part for pair in (*preset, *origins) for part in ("-S", pair)]
    repository.run("dvc", "exp", "run", *arguments, "train@Baseline")
    repository.commit("Four subjects")
    run, md5 = seen(repository)
    assert md5 == first

    pack(archive, 6)
    second = digest(archive)
    repository.run("dvc", "add", ORIGIN)
    ran = repository.stages_run("repro", "train@Baseline")
    assert ran == {"dataset", "embed", "train@Baseline"}
    repository.commit("Six subjects")
    other, md5 = seen(repository)
    assert md5 == second and other != run

    repository.run("git", "checkout", "-q", "HEAD~1")
    repository.run("dvc", "checkout", "--with-deps", "train@Baseline")  # all that was run
    assert digest(archive) == first
    assert seen(repository) == (run, first)
    assert repository.stages_run("repro", "train@Baseline") == set()

    (repository.folder / "mlruns/mlflow.db").unlink()
    repository.run("python", "-m", "src.tracking", "reconcile")
    repository.run("python", "-m", "src.tracking", "reconcile")
    query = "SELECT value FROM tags WHERE key = 'data.origin_md5'"
    assert repository.table(query) == [(first,)]
