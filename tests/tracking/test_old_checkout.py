"""Reconciling an old checkout leaves the champion and what was decided since as they are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from src import paths
from src.files import digest, write_json
from src.models.network import Network, load_state, save_network
from src.models.threshold import Threshold
from src.registry import main as registry
from src.tracking import __main__ as command
from src.tracking.champion import find_version
from src.tracking.registry import promote
from src.tracking.store import open_backend
from tests.tracking.finished import A, aliases, finish_run, tags
from tests.tracking.networks import answering, new_version, validate_on
from tests.tracking.projects import MODEL, Project, cloned

VERSIONED = ("data", "metrics", "models", "runs")  # the folders that a checkout brings back


def chosen(name: str, accuracy: float = 0.7) -> None:
    """What the stage `register` writes, and git keeps."""
    write_json(paths.REGISTERED, {"model": MODEL, "name": name, "val_accuracy": accuracy})


def check_out(state: Path) -> None:
    for folder in VERSIONED:
        shutil.rmtree(folder)
        shutil.copytree(state / folder, folder)


@pytest.fixture
def old(project: Project) -> Path:
    """The files of version 1, kept aside; the workspace and the champion are of version 2.

    Another subject came to the same origin between the two.
    """
    finish_run(project, origin=A)
    chosen("ModelA")
    assert promote(project.record, 0.7, MODEL).promoted
    state = project.root.with_name("old")
    for folder in VERSIONED:
        shutil.copytree(folder, state / folder)
    subjects = ("ann", "bob", "zoe")
    new_version(project, subjects)
    spec = replace(load_state(project.model)[1], subjects=subjects)
    save_network(project.model, Network(spec).state_dict(), spec)
    finish_run(project, origin=A)
    assert promote(project.record, 0.7, MODEL).promoted
    assert aliases() == {"champion": 2}
    return state


def test_the_champion_of_more_subjects_stays_when_the_checkout_of_fewer_is_reconciled(
    project: Project, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_out(old)
    for _ in range(2):
        assert command.main(["reconcile"]) == 0
        assert "version 1 is not promoted: its network was judged before" in capsys.readouterr().out
        assert aliases() == {"champion": 2}
        assert tags(1)["reason"] == "there was none before"


def test_a_choice_by_hand_stays_when_another_version_is_reconciled(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1).promoted
    assert answering(project, "B", 2).promoted
    registry(["promote", "1", "--force", "--reason", "as good, and faster"])
    assert answering(project, "C", 0).version == 3
    chosen("B")
    assert command.main(["reconcile"]) == 0
    assert aliases() == {"champion": 1, "challenger": 3}
    assert tags(2)["reason"].startswith("right on 20 of 40 validation images")


def test_what_was_judged_is_not_scored_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1).promoted
    assert not answering(project, "B", 0).promoted
    chosen("B")
    monkeypatch.delattr("src.tracking.gate.measure")
    assert command.main(["reconcile"]) == 0
    assert aliases() == {"champion": 1, "challenger": 2}


def test_a_network_that_was_never_judged_goes_through_the_gate(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    assert answering(project, "A", 1).promoted
    assert answering(project, "B", 2, model="other").promoted, "which is another registered model"
    chosen("B")
    assert command.main(["reconcile"]) == 0
    assert aliases() == {"champion": 2}


def test_without_a_champion_what_was_judged_before_is_judged_again(project: Project) -> None:
    validate_on(project, 8, 12, 20)
    answering(project, "A", 1)
    assert not answering(project, "B", 0).promoted
    open_backend().client.delete_registered_model_alias(MODEL, "champion")
    chosen("B")
    assert command.main(["reconcile"]) == 0
    assert aliases() == {"champion": 2}


def test_a_store_that_lost_all_gets_the_champion_of_the_checkout(
    project: Project, old: Path, blueprint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_out(old)
    monkeypatch.chdir(cloned(project, blueprint))
    assert command.main(["reconcile"]) == 0
    assert aliases() == {"champion": 1}


def test_the_version_of_the_checkout_gets_its_threshold_though_it_is_not_judged_again(
    project: Project, old: Path
) -> None:
    check_out(old)
    Threshold.nothing(digest(project.model), "ModelA", far=0.1).save(paths.THRESHOLD)
    assert command.main(["reconcile"]) == 0
    assert find_version(open_backend(), MODEL, "1").tags["threshold.md5"] == digest(paths.THRESHOLD)
    assert aliases() == {"champion": 2}
