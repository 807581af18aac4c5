"""The better model becomes the champion of its purpose; nothing else takes its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from src.data.faceset import FaceSet, Split
from src.errors import TrackingError
from src.models.classifier import Classifier
from src.models.network import Network, load_state, save_network
from src.tracking.champion import champion_of, find_champion, weights_of
from src.tracking.registry import Promotion, promote
from src.tracking.store import Backend, open_backend
from tests.tracking.finished import PARAMS, finish_run
from tests.tracking.projects import MODEL, Project

A, B = "data/a.tar.gz", "data/b.tar.gz"


def promoted(
    project: Project, name: str, accuracy: float, origin: str = A, model: str = MODEL
) -> Promotion:
    record = project.record.with_name(f"{name}.json")
    finish_run(project, record, origin)
    return promote(record, accuracy, model)


def new_version(project: Project, subjects: tuple[str, ...] | None = None, size: int = 32) -> float:
    """Pack other images as the dataset; returns the model file's validation accuracy on them."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (30, 3, size, size), generator=generator, dtype=torch.uint8)
    labels, split = torch.arange(30) % 3, torch.tensor([0, 1], dtype=torch.uint8).repeat(15)
    old = FaceSet.load(project.faces)
    made = FaceSet(images, labels, split, subjects or old.subjects)
    made.save(project.faces)
    if subjects or size != 32:
        return 0.0
    images, labels = made.part(Split.val)
    answers = Classifier.load(project.model).probabilities(images).argmax(1)
    return sum(answers.eq(labels).tolist()) / len(labels)


def test_only_a_better_model_of_the_same_dataset_replaces_the_champion(project: Project) -> None:
    def verdict(name: str, accuracy: float) -> tuple[bool, str]:
        made = promoted(project, name, accuracy)
        return made.promoted, made.reason

    first = f"version 1 (A on {A})"
    assert verdict("A", 0.8) == (True, "there was none before")
    assert verdict("B", 0.8) == (False, f"a tie with 0.8000 of {first}")
    assert verdict("C", 0.7) == (False, f"below 0.8000 of {first}")
    assert verdict("D", 0.9) == (True, f"0.9000 against 0.8000 of {first}")


def test_models_of_two_names_have_a_champion_each(project: Project) -> None:
    assert promoted(project, "A", 0.9, model="small").promoted
    assert promoted(project, "B", 0.1).promoted
    assert champion_of("small").name == f"models:/small/1 (A on {A})"
    assert champion_of(MODEL).name == f"models:/{MODEL}/1 (B on {A})"


def test_a_champion_of_an_older_version_is_scored_on_the_new_one(project: Project) -> None:
    assert promoted(project, "A", 1.0).promoted
    score = new_version(project)
    assert 0 < score < 1
    whose = f"{score:.4f} of version 1 (A on {A}), scored on this dataset version"
    tie = promoted(project, "B", score)
    assert (tie.promoted, tie.reason) == (False, f"a tie with {whose}")
    better = promoted(project, "C", score + 0.01)
    assert (better.promoted, better.reason) == (True, f"{score + 0.01:.4f} against {whose}")


def test_a_champion_of_other_subjects_gives_way_and_the_reason_says_so(project: Project) -> None:
    promoted(project, "A", 1.0)
    new_version(project, subjects=("ann", "bob", "zoe"))
    made = promoted(project, "B", 0.1)
    assert made.promoted
    assert made.reason.endswith(
        "cannot be scored on this one (its network: trained for other subjects)"
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
    promoted(project, "A", 1.0)
    new_version(project)
    finish_run(project, Path("runs/B.json"), A)
    aside = project.faces.rename("aside")
    made = promote(Path("runs/B.json"), 1.0, MODEL)
    assert not made.promoted and "the dataset: missing, or not the version" in made.reason
    aside.rename(project.faces)
    champion_of(MODEL).path.unlink()
    made = promoted(project, "C", 1.0)
    assert made.promoted and made.reason.endswith("scored on this dataset version")


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
    for name, accuracy in (("A", 0.8), ("B", 0.9)):
        promoted(project, name, accuracy)
    promote(project.record.with_name("B.json"), 0.9, MODEL)
    versions = open_backend().client.search_model_versions(f"name = '{MODEL}'")
    assert {int(v.version): v.tags["reason"] for v in versions} == {
        1: "there was none before",
        2: f"0.9000 against 0.8000 of version 1 (A on {A})",
    }


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
