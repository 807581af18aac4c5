"""A registered version's threshold comes back from the project's, or the message says what does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from src import paths, registry
from src.errors import TrackingError
from src.files import digest, write_json
from src.models.threshold import Threshold
from src.tracking import __main__ as command
from src.tracking.attached import restore
from src.tracking.champion import ATTACHED, champion_of
from src.tracking.registry import promote
from src.tracking.store import open_backend
from tests.tracking.finished import finish_run, tags
from tests.tracking.networks import another_network
from tests.tracking.projects import MODEL, Project
from tests.tracking.servers import Server

MENDED = r"registered as models:/face-classifier/1; run `python -m src\.tracking reconcile`$"


def threshold_of(model: Path, far: float = 0.1) -> Path:
    """The project's threshold, set anew for a model file."""
    Threshold.nothing(digest(model), "ModelA", far).save(paths.THRESHOLD)
    return paths.THRESHOLD


@pytest.fixture
def attached(project: Project) -> Path:
    """The file of the champion's threshold."""
    finish_run(project)
    assert promote(project.record, 0.7, MODEL, threshold_of(project.model)).promoted
    found = champion_of(MODEL).threshold
    assert found is not None
    return found


def damaged(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def replaced(file: Path) -> None:
    replace(Threshold.load(file), far=0.9).save(file)


def lost_with_its_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


@pytest.mark.parametrize(
    ("lose", "mend"),
    [
        (damaged, "reconcile"),
        (replaced, "reconcile"),
        (Path.unlink, "reconcile"),
        (lost_with_its_folder, "reconcile"),
        (damaged, "reconcile the best"),
        (damaged, "register"),
    ],
)
def test_a_lost_threshold_comes_back_from_the_projects_own(
    project: Project,
    attached: Path,
    lose: Callable[[Path], None],
    mend: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lose(attached)
    with pytest.raises(TrackingError, match=MENDED):
        champion_of(MODEL)
    if mend == "reconcile the best":  # which offers it to the registry, too
        write_json(paths.REGISTERED, {"model": MODEL, "name": "ModelA", "val_accuracy": 0.7})
    if mend == "register":
        assert not promote(project.record, 0.7, MODEL, paths.THRESHOLD).promoted
    else:
        assert command.main(["reconcile"]) == 0
    assert champion_of(MODEL).threshold == attached
    assert attached.read_bytes() == paths.THRESHOLD.read_bytes()
    if mend == "reconcile":
        said = capsys.readouterr().out
        assert said.endswith(f"\nmodels:/{MODEL}/1: its threshold is restored\n")
    assert restore(open_backend(), paths.THRESHOLD) == []


def test_weights_and_threshold_that_are_lost_together_come_back_together(
    project: Project, attached: Path
) -> None:
    shutil.rmtree(attached.parents[2])
    assert command.main(["reconcile"]) == 0
    champion = champion_of(MODEL)
    assert champion.path.read_bytes() == project.model.read_bytes()
    assert champion.threshold == attached


def test_a_version_of_a_run_before_gets_the_same_networks_threshold(
    project: Project, attached: Path
) -> None:
    finish_run(project)
    made = promote(project.record, 0.7, MODEL, paths.THRESHOLD)
    assert (made.version, made.promoted) == (2, False)
    attached.unlink()
    assert command.main(["reconcile"]) == 0
    assert champion_of(MODEL).threshold == attached


def test_a_threshold_that_is_set_anew_reaches_the_champion_of_the_same_network(
    project: Project, attached: Path
) -> None:
    finish_run(project)  # trained again to the same bytes
    assert not promote(project.record, 0.7, MODEL, paths.THRESHOLD).promoted
    made = promote(project.record, 0.7, MODEL, threshold_of(project.model, far=0.01))
    assert (made.version, made.promoted) == (2, False)
    assert champion_of(MODEL).threshold == attached
    assert attached.read_bytes() == paths.THRESHOLD.read_bytes()
    assert tags(1)["threshold.md5"] == tags(2)["threshold.md5"]


def test_a_lost_threshold_is_replaced_by_one_that_was_set_anew_for_its_network(
    project: Project, attached: Path
) -> None:
    before = tags(1)["threshold.md5"]
    threshold_of(project.model, far=0.2)
    assert restore(open_backend(), paths.THRESHOLD) == []  # nothing is lost
    attached.unlink()
    with pytest.raises(TrackingError, match=MENDED):
        champion_of(MODEL)
    assert command.main(["reconcile"]) == 0
    assert attached.read_bytes() == paths.THRESHOLD.read_bytes()
    assert tags(1)["threshold.md5"] == digest(paths.THRESHOLD) != before
    assert champion_of(MODEL).threshold == attached


def test_where_the_projects_threshold_is_of_another_network_the_advice_mends_it(
    project: Project, attached: Path
) -> None:
    other = another_network(project, "ModelB")
    threshold_of(changed := Path("models/ModelB.safetensors"))
    assert not promote(other, 0.6, MODEL, paths.THRESHOLD).promoted
    attached.unlink()
    advice = (
        r"data/threshold\.safetensors is of another model, so make another version champion: "
        r"run `python -m src\.registry promote VERSION --force --reason TEXT`$"
    )
    with pytest.raises(TrackingError, match=advice):
        champion_of(MODEL)
    registry.main(["promote", "2", "--force", "--reason", "the threshold of the other is lost"])
    found = champion_of(MODEL).threshold
    assert found is not None and found.read_bytes() == paths.THRESHOLD.read_bytes()
    assert Threshold.load(found).model == digest(changed)


@pytest.mark.parametrize("content", [None, b"", b"no threshold"])
def test_where_the_project_has_no_threshold_the_advice_is_to_make_it_first(
    project: Project, attached: Path, content: bytes | None
) -> None:
    attached.unlink()
    paths.THRESHOLD.unlink()
    if content is not None:
        paths.THRESHOLD.write_bytes(content)
    advice = r"; run `dvc repro evaluate` and `python -m src\.tracking reconcile`$"
    with pytest.raises(TrackingError, match=advice):
        champion_of(MODEL)
    threshold_of(project.model)  # as the stage `evaluate` does
    assert command.main(["reconcile"]) == 0
    assert champion_of(MODEL).threshold == attached


def test_a_version_that_was_registered_without_a_threshold_stays_so(project: Project) -> None:
    finish_run(project)
    promote(project.record, 0.7, MODEL)
    threshold_of(project.model)
    assert command.main(["reconcile"]) == 0
    assert champion_of(MODEL).threshold is None


@pytest.mark.faults
def test_a_threshold_that_a_server_lost_comes_back_too(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{server.address}")
    finish_run(project)
    promote(project.record, 0.7, MODEL, threshold_of(project.model))
    (kept,) = (server.folder / "files").rglob(str(ATTACHED))
    for lose in (damaged, lost_with_its_folder):
        lose(kept)
        with pytest.raises(TrackingError, match=MENDED):
            champion_of(MODEL)
        assert command.main(["reconcile"]) == 0
        assert kept.read_bytes() == paths.THRESHOLD.read_bytes()
        assert champion_of(MODEL).threshold is not None
