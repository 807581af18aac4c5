"""Versions of a registered model: of which run and file they are, and which is the champion."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.data.faceset import FaceSet
from src.errors import TrackingError
from src.files import digest
from src.models.network import Network, load_state, save_network
from src.models.threshold import Threshold
from src.tracking.champion import champion_of, find_champion, weights_of
from src.tracking.model import log_model, model_of
from src.tracking.reconcile import reconcile
from src.tracking.registry import promote
from src.tracking.store import Backend, open_backend, open_store
from src.training.fingerprint import Fingerprint
from tests.tracking.finished import finish_run, promoted, tags
from tests.tracking.projects import EXPERIMENT, MODEL, Project


def test_a_version_says_what_machine_and_torch_it_was_trained_with(project: Project) -> None:
    made = Fingerprint("Abacus", "beads", threads=1, torch="2.0", dtype="float32", ranks=2)
    record = finish_run(project)
    record.model_copy(update={"tags": record.tags | made.tags}).write(project.record)
    promote(project.record, 0.5, MODEL)
    assert Fingerprint.from_tags(tags(1)) == made


def test_promoting_the_same_run_again_makes_no_second_version(project: Project) -> None:
    finish_run(project)
    first, second = promote(project.record, 0.5, MODEL), promote(project.record, 0.5, MODEL)
    assert (first.version, first.promoted) == (1, True)
    assert (second.version, second.promoted) == (1, False)


def test_without_a_champion_the_error_says_how_to_get_one(project: Project) -> None:
    with pytest.raises(
        TrackingError, match="no champion yet; run `dvc repro`, then `python -m src"
    ):
        champion_of(MODEL)


def test_a_model_file_that_is_gone_or_another_is_refused(project: Project) -> None:
    promoted(project, "A", 0.5)
    path, state = champion_of(MODEL).path, load_state(project.model)
    network = Network(state[1])
    save_network(path, network.state_dict(), state[1])  # loads as well as the one registered
    with pytest.raises(TrackingError, match=f"not the file that was registered as models:/{MODEL}"):
        champion_of(MODEL)
    path.unlink()
    with pytest.raises(
        TrackingError,
        match=rf"^models:/{MODEL}/1: its model file is missing; run `python -m src\.tracking rec",
    ):
        champion_of(MODEL)


def test_the_champion_is_the_file_that_was_trained(project: Project) -> None:
    promoted(project, "A", 0.5)
    backend: Backend = open_backend()
    version = find_champion(backend, MODEL)
    assert version is not None
    assert weights_of(backend, version).read_bytes() == project.model.read_bytes()


def logged_again(project: Project) -> None:
    """Delete the model of the project's run in MLflow, and bring it back from the record."""
    store = open_store(EXPERIMENT)
    (model,) = store.client.search_logged_models([store.experiment_id])
    store.client.delete_logged_model(model.model_id)
    reconcile(project.record)


@pytest.mark.parametrize("before", [True, False], ids=["registered before", "registered after"])
def test_a_threshold_finds_the_version_whose_logged_model_was_deleted(
    project: Project, before: bool
) -> None:
    finish_run(project)
    if before:
        promote(project.record, 0.5, MODEL)
    logged_again(project)
    threshold = Path("data/threshold.safetensors")
    Threshold.nothing(digest(project.model), "ModelA", far=0.1).save(threshold)
    promote(project.record, 0.5, MODEL, threshold)
    found = champion_of(MODEL).threshold
    assert found is not None and found.read_bytes() == threshold.read_bytes()


def test_of_several_models_of_a_run_the_last_counts(project: Project) -> None:
    run_id, store = finish_run(project).run_id, open_store(EXPERIMENT)
    images = FaceSet.load(project.faces).images[:2].permute(0, 2, 3, 1).numpy()
    for _ in range(5):
        last = log_model(store, run_id, "ModelA", project.model, images)
        found = model_of(store, run_id)
        assert found is not None and found.model_id == last


def test_weights_that_dvc_links_keep_their_name(project: Project) -> None:
    cached = Path(".dvc/cache/files/md5/ab/cdef0123")
    cached.parent.mkdir(parents=True)
    project.model.rename(cached)
    project.model.symlink_to(cached.absolute())
    finish_run(project)
    assert promote(project.record, 0.5, MODEL).promoted
    path = champion_of(MODEL).path
    assert path.name == project.model.name and not path.is_symlink()
    assert reconcile(project.record).state == "present"
