"""The command lists, compares, promotes and rolls back, and refuses in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from src import paths
from src.config import read_yaml
from src.config.presets import merged
from src.errors import ConfigError, TrackingError
from src.files import digest, write_json
from src.models.threshold import Threshold
from src.registry import main
from src.tracking.champion import champion_of
from src.tracking.comparison import SIGNIFICANT
from src.tracking.registry import Promotion, promote
from src.tracking.store import open_backend
from tests.tracking.finished import PARAMS, A, aliases, finish_run, tags
from tests.tracking.networks import answering, validate_on
from tests.tracking.projects import MODEL, PARAMS_FILE, Project

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def three(project: Project) -> Project:
    """A champion, its better successor, and a challenger that is worse than both."""
    validate_on(project, 8, 12, 20)
    for name, subject in (("A", 1), ("B", 2), ("C", 0)):
        answering(project, name, subject)
    return project


def said(capsys: Capture, *arguments: str) -> str:
    capsys.readouterr()
    main(arguments)
    return capsys.readouterr().out


def test_the_list_tells_all_of_each_version_newest_first(three: Project, capsys: Capture) -> None:
    rows = json.loads(said(capsys, "list", "--json"))
    assert [(row["version"], row["aliases"]) for row in rows] == [
        (3, ["challenger"]),
        (2, ["champion"]),
        (1, []),
    ]
    row = rows[1]
    assert (row["experiment"], row["val_accuracy"], row["origin"]) == ("B", 0.5, A)
    assert row["dataset"] == digest(three.faces)
    assert row["reason"].startswith("right on 20 of 40 validation images against 12 of version 1")
    assert row["promoted"] >= row["registered"] > "2020"
    table = said(capsys, "list")
    assert "challenger" in table and "50.0%" in table and digest(three.faces)[:8] in table


def test_two_versions_are_compared_on_the_same_images(three: Project, capsys: Capture) -> None:
    found = json.loads(said(capsys, "compare", "2", "1", "--json"))
    assert found["test"]["only_first"] == 20 and found["test"]["only_second"] == 12
    assert found["test"]["images"] == 40 and found["test"]["p"] == pytest.approx(0.215, abs=1e-3)
    assert found["gate"]["passes"]
    for side in ("candidate", "reference"):
        assert found[side]["flops"] > found[side]["parameters"] > 0 < found[side]["milliseconds"]
    text = said(capsys, "compare")
    assert "difference -30.0 points" in text
    assert "the gate would keep the second: worse: right on 8 of 40" in text


def test_by_hand_the_gate_is_overruled_and_the_reason_is_kept(
    three: Project, capsys: Capture
) -> None:
    assert "version 3 is not promoted: worse" in said(capsys, "promote", "challenger")
    assert aliases() == {"champion": 2, "challenger": 3}
    done = said(capsys, "promote", "3", "--force", "--reason", "we need it")
    assert done == f"{MODEL} version 3 is now the champion: by hand: we need it\n"
    assert aliases() == {"champion": 3}
    assert tags(3)["reason"] == "by hand: we need it"
    assert "version 2 is now the champion: right on 20" in said(capsys, "promote", "2")


def test_a_rollback_goes_back_step_by_step_and_holds(three: Project, capsys: Capture) -> None:
    said(capsys, "promote", "3", "--force", "--reason", "a try")
    done = said(capsys, "rollback", "--reason", "names visitors")
    assert done == (
        f"models:/{MODEL}/2 (B on {A}) is the champion again, instead of version 3: "
        "names visitors\n"
    )
    said(capsys, "rollback", "--reason", "too slow")
    assert aliases()["champion"] == 1
    rows = json.loads(said(capsys, "list", "--json"))
    assert [row["rolled_back"] for row in rows] == ["names visitors", "too slow", None]
    with pytest.raises(TrackingError, match="no version was champion before it"):
        main(["rollback", "--reason", "again"])
    again = promote(three.record.with_name("B.json"), 0.5, MODEL)  # as `dvc repro` does
    assert not again.promoted and again.reason.startswith("it was rolled back (too slow); ")
    said(capsys, "promote", "2", "--force", "--reason", "mended")
    assert aliases()["champion"] == 2 and "rolled_back" not in tags(2)


def test_a_network_that_was_rolled_back_is_not_promoted_when_it_is_trained_again(
    three: Project, capsys: Capture
) -> None:
    said(capsys, "rollback", "--reason", "too slow")
    again = trained_again(three, "B")
    assert again.version == 4 and not again.promoted
    assert again.reason.startswith("its network, version 2, was rolled back (too slow); ")
    said(capsys, "promote", "4", "--force", "--reason", "mended")
    assert "rolled_back" not in tags(2)
    said(capsys, "promote", "1", "--force", "--reason", "a try")
    assert trained_again(three, "B").promoted


def trained_again(project: Project, name: str) -> Promotion:
    """Track another run of the same network, and offer it to the gate."""
    record = project.record.with_name(f"{name}.json")
    finish_run(replace(project, model=Path(f"models/{name}.safetensors")), record, A)
    return promote(record, 0.5, MODEL)


def test_a_comparison_tells_what_the_gate_would_do(three: Project, capsys: Capture) -> None:
    said(capsys, "rollback", "--reason", "too slow")
    for number in ("2", "3"):
        gate = json.loads(said(capsys, "compare", number, "champion", "--json"))["gate"]
        assert not gate["passes"]
        told = said(capsys, "promote", number)
        assert told == f"{MODEL} version {number} is not promoted: {gate['reason']}\n"


def test_the_gate_of_params_yaml_decides(project: Project, capsys: Capture) -> None:
    validate_on(project, 8, 12, 20)
    answering(project, "A", 1)
    answering(project, "B", 2, gate=SIGNIFICANT)
    params = read_yaml(PARAMS_FILE)
    write_json(Path("params.yaml"), merged(params, {"tracking": {"gate": SIGNIFICANT}}))
    gate = json.loads(said(capsys, "compare", "--json"))["gate"]
    assert not gate["passes"] and gate["reason"].startswith("not significantly better: right on 20")
    told = said(capsys, "promote", "challenger")
    assert told == f"{MODEL} version 2 is not promoted: {gate['reason']}\n"
    assert aliases() == {"champion": 1, "challenger": 2}


def test_a_rollback_concerns_one_registered_model_only(project: Project, capsys: Capture) -> None:
    validate_on(project, 8, 12, 20)
    for name, subject in (("A", 1), ("B", 2)):
        answering(project, name, subject)
    said(capsys, "rollback", "--reason", "too slow")
    for name in ("A", "B"):
        made = promote(project.record.with_name(f"{name}.json"), 0.5, "other")
        assert made.promoted, made.reason
    said(capsys, "--model", "other", "rollback", "--reason", "too slow here too")
    said(capsys, "--model", "other", "promote", "2", "--force", "--reason", "mended")
    other = json.loads(said(capsys, "--model", "other", "list", "--json"))
    assert [row["rolled_back"] for row in other] == [None, None]
    assert tags(2)["rolled_back"] == "too slow"


def test_a_version_that_others_registered_is_refused_and_changes_nothing(
    three: Project, capsys: Capture
) -> None:
    client = open_backend().client
    other = client.get_model_version(MODEL, "1")
    number = client.create_model_version(MODEL, other.source, other.run_id).version
    before = aliases()
    with pytest.raises(
        TrackingError, match=r"the gate cannot judge it: it has no tag data\.classes"
    ):
        main(["promote", str(number)])
    assert aliases() == before
    with pytest.raises(TrackingError, match="not the file that was registered"):
        main(["promote", str(number), "--force", "--reason", "a try"])
    assert aliases() == before


def test_a_rollback_passes_over_versions_that_were_deleted(three: Project, capsys: Capture) -> None:
    said(capsys, "promote", "3", "--force", "--reason", "a try")
    open_backend().client.delete_model_version(MODEL, "2")
    assert f"models:/{MODEL}/1 " in said(capsys, "rollback", "--reason", "why not")


def test_a_rollback_passes_over_versions_that_were_rolled_back_themselves(
    three: Project, capsys: Capture
) -> None:
    said(capsys, "promote", "1", "--force", "--reason", "a try")
    said(capsys, "promote", "3", "--force", "--reason", "a try")
    said(capsys, "rollback", "--reason", "names visitors")
    said(capsys, "rollback", "--reason", "too slow")
    assert aliases()["champion"] == 2
    with pytest.raises(TrackingError, match="no version was champion before it"):
        main(["rollback", "--reason", "worse"])  # 1 was, but was rolled back
    assert aliases()["champion"] == 2


def test_versions_that_make_photos_square_in_other_ways_are_not_compared(
    three: Project,
) -> None:
    answering(three, "D", 2, fit="pad")
    with pytest.raises(TrackingError, match="makes photos square by `crop`, and not by `pad`"):
        main(["compare", "4", "2"])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("promote", "9"), f"models:/{MODEL}/9: no such version; choose one that"),
        (("promote", "9" * 20), "9: no such version; choose one that"),
        (("compare", "nobody"), f"models:/{MODEL}@nobody: no such version"),
        (("--model", "other", "list"), "models:/other: no such registered model"),
        (("rollback", "--reason", "x"), "no version was champion before it"),
    ],
)
def test_what_is_not_there_is_one_line(
    project: Project, arguments: tuple[str, ...], what: str
) -> None:
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    with pytest.raises(TrackingError) as error:
        main(arguments)
    assert what in str(error.value)


def test_the_name_of_a_model_is_no_address(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"^--model: model: "):
        main(["--model", f"models:/{MODEL}", "list"])


@pytest.mark.parametrize(
    "arguments", [("promote", "1", "--force"), ("rollback",), ("rollback", "--reason", " ")]
)
def test_by_hand_without_a_reason_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_without_its_images_nothing_is_compared(three: Project) -> None:
    validate_on(three, 1, 1, 1)
    with pytest.raises(TrackingError, match="missing, or not the version"):
        main(["compare", "2", "1"])


def test_the_registered_model_is_whole(project: Project) -> None:
    from src.models.network import load_state

    weights = {"origin": "pretrain (objects)", "licence": "MIT"}
    finish_run(project, params={**PARAMS, "weights": weights})
    Threshold.nothing(digest(project.model), "ModelA", 0.01).save(paths.THRESHOLD)
    promote(project.record, 0.5, MODEL, paths.THRESHOLD)
    found = champion_of(MODEL)
    _, spec = load_state(found.path)
    assert (spec.subjects, spec.image_size) == (("ann", "bob", "eve"), 32)
    assert len(spec.mean) == 3 and spec.temperature > 0
    assert found.threshold is not None and Threshold.load(found.threshold).far == 0.01
    own = tags(1)
    assert own["weights.licence"] == "MIT" and own["weights.origin"] == "pretrain (objects)"
    assert own["data.md5"] == digest(project.faces)
