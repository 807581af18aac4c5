"""DVC's own commands at the root of a clone: each does its work without a warning."""

from __future__ import annotations

import json

import pytest

from src.files import write_json
from tests.pipeline.repository import SMALL, Repository

pytestmark = [pytest.mark.pipeline, pytest.mark.long]

STUDY = {
    "study": {
        "text": "Any text, of any year",
        "dataset": "none",
        "claims": [{"says": "Two, that is: one more", "better": ["two", "one"]}],
    },
    "experiments": {
        "one": {"train": ["head"], "batch_size": 8, "epochs": 1},
        "two": {"train": ["head"], "batch_size": 8, "epochs": 2, "multipliers": {"head": 2.0}},
    },
    "tracking": {"experiment": "study-any", "model": "study-any"},
}
COMMANDS = (
    "status",
    "metrics show",
    "metrics diff",
    "params diff",
    "plots diff",
    "exp show",
    "checkout",
    "push",
    "pull",
    "gc --workspace --force",
)
UNWANTED = ("warning", "error", "failed", "missing", "does not exist")
MEANT = "This will remove all cache except items used in the workspace of the current repo."


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone of a repository whose pipeline has run, with what that pushed to its remote."""
    folder = tmp_path_factory.mktemp("first")
    first = Repository.with_pipeline(folder, SMALL)
    write_json(folder / "studies/any.yaml", STUDY)
    first.run("dvc", "remote", "add", "-d", "here", str(tmp_path_factory.mktemp("remote")))
    first.commit("A small pipeline")
    first.run("dvc", "repro")
    first.commit("Its results")
    first.run("dvc", "push")
    other = first.clone(tmp_path_factory.mktemp("second") / "clone")
    other.run("dvc", "pull")
    return other


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_clean_in_a_new_clone(clone: Repository, command: str) -> None:
    clean(clone.run("dvc", *command.split()))
    assert clone.run("git", "status", "--porcelain") == ""


def clean(output: str) -> None:
    """Assert that a command's output has nothing to complain of."""
    said = output.replace(f"WARNING: {MEANT}", "").lower()
    assert not [word for word in UNWANTED if word in said], output


def test_a_study_runs_beside_the_workspace_and_commands_stay_clean(clone: Repository) -> None:
    before = sorted(clone.folder.glob("models/*"))
    arguments = clone.run("python", "-m", "src.preset", "any").split()
    clean(clone.run("dvc", "exp", "run", "--temp", "--quiet", "--name", "any", *arguments))
    assert sorted(clone.folder.glob("models/*")) == before
    page = "reports/study-any.html"
    clone.run("dvc", "get", ".", "reports/index.html", "--rev", "any", "-o", page)
    assert "Two, that is: one more" in (clone.folder / page).read_text(encoding="utf-8")

    assert clone.stages_run("repro") == set()
    for command in ("exp show", "gc --workspace --force"):
        clean(clone.run("dvc", *command.split()))
    assert clone.run("git", "status", "--porcelain") == ""
    assert ("study-any",) in clone.table("SELECT name FROM experiments")
    assert clone.table("SELECT name FROM registered_models") == [("study-any",)]


def test_an_experiment_runs_clean_and_shows_beside_the_workspace(clone: Repository) -> None:
    change = "experiments.Baseline.epochs=2"
    output = clone.run("dvc", "exp", "run", "--name", "longer", "-S", change)
    clean(output)
    shown = json.loads(clone.run("dvc", "exp", "show", "--json"))
    assert "longer" in json.dumps(shown)
    clean(clone.run("dvc", "params", "diff"))
    assert change.split("=", maxsplit=1)[0] in clone.run("dvc", "params", "diff")


def test_git_and_dvc_lead_back_from_an_experiment_that_failed(clone: Repository) -> None:
    wrong = "experiments.Baseline.train=[head,nothing]"
    assert "nothing" in clone.run("dvc", "exp", "run", "-S", wrong, fails=True)
    clone.run("git", "restore", ".")
    clean(clone.run("dvc", "checkout"))
    assert clone.stages_run("repro") == set()
