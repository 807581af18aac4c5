"""By which rules a version replaces the champion, and what the reason says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from src.files import digest
from src.models.network import Network, load_state, save_network
from src.tensors import load_tensors, save_tensors
from src.tracking.champion import MODEL_MD5, champion_of, find_version, weights_of
from src.tracking.comparison import SIGNIFICANT
from src.tracking.registry import promote, promote_by_hand
from src.tracking.store import open_backend
from tests.tracking.finished import PARAMS, A, B, aliases, finish_run, promoted, tags
from tests.tracking.networks import answering, new_version, validate_on
from tests.tracking.projects import MODEL, Project


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


def test_a_champion_that_stays_after_images_were_divided_anew_may_have_been_trained_on_them(
    project: Project,
) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1).promoted
    same = answering(project, "B", 0)
    assert same.reason.startswith("worse: ") and "perhaps on some" not in same.reason
    validate_on(project, 20, 12, 8)
    other = answering(project, "C", 2)
    assert not other.promoted and other.reason.startswith("worse: right on 8 of 40 ")
    assert "another version of the dataset, and so perhaps on some of these images" in other.reason


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


def test_a_champion_that_this_release_cannot_read_stays_and_the_reason_says_so(
    project: Project,
) -> None:
    promoted(project, "A", 0.5)
    path, backend = champion_of(MODEL).path, open_backend()
    tensors, metadata = load_tensors(path)
    path.unlink()  # which may be a link to the file that was trained
    save_tensors(path, tensors, spec=json.loads(metadata["spec"]) | {"of a later release": 1})
    backend.client.set_model_version_tag(MODEL, "1", MODEL_MD5, digest(path))
    made = promoted(project, "B", 0.9)
    assert not made.promoted
    assert "cannot be scored on its images: " in made.reason
    assert "not a trained network of this project" in made.reason


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


@pytest.mark.parametrize("subjects", [("ann", "bob", "eve"), ("ann", "bob", "zoe")])
def test_a_champion_of_photos_that_are_made_square_in_another_way_stays(
    project: Project, subjects: tuple[str, ...]
) -> None:
    """Nothing says how it does on its own way's images; nor is it replaced for other subjects."""
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1).promoted
    new_version(project, subjects)
    made = answering(project, "B", 2, fit="pad", subjects=subjects)
    assert not made.promoted
    assert made.reason == (
        f"the champion, version 1 (A on {A}), cannot be scored on its images: "
        f"models:/{MODEL}/1: makes photos square by `crop`, and not by `pad`; compare versions of "
        "the same data.fit, or overrule the gate by `promote --force`"
    )
    version = find_version(open_backend(), MODEL, "2")
    assert promote_by_hand(open_backend(), version, "both answer").promoted


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
