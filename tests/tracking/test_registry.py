"""The better model becomes the champion of its purpose; nothing else takes its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src.data.faceset import FaceSet
from src.errors import TrackingError
from src.files import digest
from src.models.network import Network, load_state, save_network
from src.models.threshold import Threshold
from src.tracking.champion import champion_of, find_champion, find_version, weights_of
from src.tracking.comparison import HIGHER, SIGNIFICANT
from src.tracking.model import log_model, model_of
from src.tracking.reconcile import reconcile
from src.tracking.registry import Promotion, promote
from src.tracking.store import Backend, open_backend, open_store
from src.training.fingerprint import Fingerprint
from tests.tracking.finished import PARAMS, finish_run
from tests.tracking.projects import EXPERIMENT, MODEL, Project

A, B = "data/a.tar.gz", "data/b.tar.gz"


def promoted(
    project: Project, name: str, accuracy: float, origin: str = A, model: str = MODEL
) -> Promotion:
    record = project.record.with_name(f"{name}.json")
    finish_run(project, record, origin)
    return promote(record, accuracy, model)


def answering(
    project: Project,
    name: str,
    subject: int,
    model: str = MODEL,
    gate: str = HIGHER,
    last: str = "",
    strangers: bool = False,
) -> Promotion:
    """Promote a network that gives the same answer to every image, perhaps of fewer blocks."""
    spec = replace(load_state(project.model)[1], last=last or None)
    state = Network(spec).state_dict()
    state[list(state)[-1]] = 1e6 * torch.eye(len(spec.subjects))[subject]
    path = Path(f"models/{name}.safetensors")
    save_network(path, state, spec)
    record = project.record.with_name(f"{name}.json")
    finish_run(replace(project, model=path), record, A)
    threshold = Path("data/threshold.safetensors") if strangers else None
    if threshold:
        Threshold.nothing(digest(path), name, far=0.1).save(threshold)
    return promote(record, 0.5, model, threshold, gate)


def validate_on(project: Project, *counts: int) -> None:
    """Pack a dataset with so many validation images of each subject, and two to train on."""
    labels = torch.tensor([0, 1, *(n for n, many in enumerate(counts) for _ in range(many))])
    split = torch.tensor([0, 0, *[1] * sum(counts)], dtype=torch.uint8)
    images = torch.zeros(len(labels), 3, 32, 32, dtype=torch.uint8)
    FaceSet(images, labels, split, FaceSet.load(project.faces).subjects).save(project.faces)


def new_version(project: Project, subjects: tuple[str, ...] | None = None, size: int = 32) -> None:
    """Pack other images as the dataset."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (30, 3, size, size), generator=generator, dtype=torch.uint8)
    labels, split = torch.arange(30) % 3, torch.tensor([0, 1], dtype=torch.uint8).repeat(15)
    FaceSet(images, labels, split, subjects or FaceSet.load(project.faces).subjects).save(
        project.faces
    )


def aliases() -> dict[str, int]:
    found = open_backend().client.get_registered_model(MODEL).aliases
    return {alias: int(version) for alias, version in found.items()}


def tags(version: int) -> dict[str, str]:
    return dict(open_backend().client.get_model_version(MODEL, str(version)).tags)


def test_only_one_that_is_right_on_more_of_the_same_images_replaces_the_champion(
    project: Project,
) -> None:
    validate_on(project, 8, 12, 20)

    def verdict(name: str, subject: int) -> tuple[bool, str]:
        made = answering(project, name, subject)
        return made.promoted, made.reason

    assert verdict("A", 1) == (True, "there was none before")
    assert aliases() == {"champion": 1}
    ours, whose = "right on 8 of 40 validation images", f"12 of version 1 (A on {A}) (p = 0.5)"
    assert verdict("B", 0) == (False, f"worse: {ours} against {whose}")
    assert aliases() == {"champion": 1, "challenger": 2}
    assert verdict("C", 2) == (
        True,
        f"right on 20 of 40 validation images against 12 of version 1 (A on {A}) (p = 0.22)",
    )
    assert verdict("D", 2) == (
        False,
        f"a tie: right on 20 of 40 validation images against 20 of version 3 (C on {A}) (p = 1)",
    )
    assert aliases() == {"champion": 3, "challenger": 4}
    assert tags(3)["promoted"] and "promoted" not in tags(4)


def test_of_two_that_are_right_on_as_many_the_one_with_a_threshold_is_champion(
    project: Project,
) -> None:
    validate_on(project, 8, 12, 12)
    assert answering(project, "A", 1).promoted
    made = answering(project, "B", 2, gate=SIGNIFICANT, strangers=True)
    assert made.promoted and made.reason.startswith("only this one has a threshold for `unknown`")
    assert not answering(project, "C", 1, strangers=True).promoted
    assert not answering(project, "D", 1).promoted


def test_by_the_strict_gate_chance_must_not_explain_the_difference(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1, gate=SIGNIFICANT).promoted
    made = answering(project, "B", 2, gate=SIGNIFICANT)
    assert not made.promoted and made.reason.startswith("not significantly better: right on 20 of")
    validate_on(project, 8, 30, 2)
    better = answering(project, "C", 1, "other", SIGNIFICANT)
    assert better.promoted
    assert not answering(project, "D", 0, "other", SIGNIFICANT).promoted
    validate_on(project, 30, 8, 2)
    assert answering(project, "E", 0, "other", SIGNIFICANT).reason.endswith("(p = 0.00047)")


def test_half_the_cost_is_enough_if_enough_images_show_that_it_is_no_worse(
    project: Project,
) -> None:
    few = (8, 12, 20)
    validate_on(project, *few)
    assert answering(project, "A", 2).promoted
    made = answering(project, "B", 2, last="features.3")
    assert not made.promoted
    assert made.reason.endswith("cheaper, but the lower limit of the difference is -8.8 points")
    validate_on(project, *(10 * many for many in few))
    made = answering(project, "C", 2, last="features.3")
    assert made.promoted and made.reason.startswith("no worse at half the cost or less: ")
    assert made.reason.endswith("the lower limit of the difference is -1.0 points")
    assert not answering(project, "D", 1, last="features.2").promoted, "cheaper still, but worse"


def test_models_of_two_names_have_a_champion_each(project: Project) -> None:
    assert promoted(project, "A", 0.9, model="small").promoted
    assert promoted(project, "B", 0.1).promoted
    assert champion_of("small").name == f"models:/small/1 (A on {A})"
    assert champion_of(MODEL).name == f"models:/{MODEL}/1 (B on {A})"


def test_a_champion_of_an_older_version_is_scored_on_the_new_one(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 2).promoted
    validate_on(project, 20, 12, 8)
    assert answering(project, "B", 1).reason.startswith("right on 12 of 40 validation images again")
    assert champion_of(MODEL).name == f"models:/{MODEL}/2 (B on {A})"


def test_a_champion_of_other_subjects_gives_way_and_the_reason_says_so(project: Project) -> None:
    promoted(project, "A", 1.0)
    new_version(project, subjects=("ann", "bob", "zoe"))
    spec = replace(load_state(project.model)[1], subjects=("ann", "bob", "zoe"))
    save_network(project.model, Network(spec).state_dict(), spec)
    made = promoted(project, "B", 0.1)
    assert made.promoted
    assert made.reason.endswith(
        f"cannot be scored on its images (models:/{MODEL}/1: trained for other subjects)"
    )


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("data.image_size", {"data": {"image_size": 48, "classes": {}}}),
        ("data.classes", {"data": {"image_size": 32, "classes": {"one": ["ann"], "two": ["*"]}}}),
    ],
)
def test_a_model_of_other_classes_or_size_is_for_another_purpose(
    project: Project, key: str, change: dict[str, object]
) -> None:
    assert promoted(project, "A", 0.1).promoted
    finish_run(project, Path("runs/B.json"), A, params=PARAMS | change)
    made = promote(Path("runs/B.json"), 1.0, MODEL)
    assert not made.promoted and f"their {key} differ" in made.reason


def test_without_its_dataset_no_model_wins_and_lost_files_are_brought_back(
    project: Project,
) -> None:
    validate_on(project, 8, 12, 20)
    answering(project, "A", 1)
    finish_run(project, Path("runs/B.json"), A)
    aside = project.faces.rename("aside")
    made = promote(Path("runs/B.json"), 1.0, MODEL)
    assert not made.promoted and "the dataset: missing, or not the version" in made.reason
    aside.rename(project.faces)
    champion_of(MODEL).path.unlink()
    assert answering(project, "C", 2).promoted
    assert weights_of(open_backend(), find_version(open_backend(), MODEL, "1")).is_file()


def test_a_champion_of_another_origin_stays_and_the_line_names_both(project: Project) -> None:
    assert promoted(project, "A", 0.1).promoted
    made = promoted(project, "B", 0.9, B)
    assert made.sentence == (
        f"{MODEL} version 2 is not promoted: the champion, version 1 (A on {A}), is for another "
        f"purpose than this one (B on {B}): their data.origin differ; "
        "keep one beside the other with `-S tracking.model=NAME`"
    )
    assert promoted(project, "B", 0.9, B, "mine").promoted


def test_the_reason_stays_with_the_version(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    for name, subject in (("A", 1), ("B", 0)):
        answering(project, name, subject)
    promote(project.record.with_name("A.json"), 0.9, MODEL)
    assert tags(1)["reason"] == "there was none before"
    assert tags(2)["reason"].startswith("worse: right on 8 of 40 validation images against 12 of ")


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
    with pytest.raises(TrackingError, match="no champion yet; run `dvc repro register`"):
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
