"""MLflow's pages show accuracies and say what the runs are; what a user wrote in them stays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from src.tracking import __main__ as command
from src.tracking.pages import (
    COLOUR,
    KIND,
    NAME,
    NOTE,
    OF_MODEL,
    VIEW,
    address,
    decode,
    describe_model,
    dress,
)
from src.tracking.reconcile import log_test
from src.tracking.registry import promote
from src.tracking.store import open_backend, open_store
from tests.tracking.finished import finish_run
from tests.tracking.projects import EXPERIMENT, MODEL, Project

if TYPE_CHECKING:
    from mlflow.entities import Experiment

SCORES = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.625}


def experiment() -> Experiment:
    store = open_store(EXPERIMENT)
    return store.client.get_experiment(store.experiment_id)


def note(run_id: str) -> str | None:
    return open_store(EXPERIMENT).client.get_run(run_id).data.tags.get(NOTE)


def test_the_view_has_the_accuracies_as_columns_and_the_best_first(project: Project) -> None:
    dress(open_store(EXPERIMENT))
    state = decode(experiment().tags[VIEW])
    assert state["orderByKey"] == "metrics.`test/accuracy`"
    assert state["orderByAsc"] is False
    wanted = {f"metrics.`test/accuracy{end}`" for end in ("", "_low", "_high")}
    wanted |= {"metrics.`val/accuracy`", "metrics.`seconds_per_epoch`"}
    wanted |= {"params.`experiment.head.hidden`", "params.`data.origin`"}
    assert wanted <= set(state["selectedColumns"])
    assert experiment().tags[KIND] == "custom_model_development"
    assert "reports/index.html" in experiment().tags[NOTE]


def test_the_menu_of_views_names_ours(project: Project) -> None:
    dress(open_store(EXPERIMENT))
    menu = json.loads(experiment().tags[VIEW])
    assert menu["name"] == NAME
    assert isinstance(menu["createdAt"], int)


def test_the_first_charts_are_of_accuracies_and_those_of_the_machine_come_last(
    project: Project,
) -> None:
    record = finish_run(project)
    log_test(project.record, SCORES)
    dress(open_store(EXPERIMENT))
    state = decode(experiment().tags[VIEW])
    sections = state["compareRunSections"]
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == {
        sections[0]["uuid"]
    }
    assert (sections[-1]["name"], sections[-1]["display"]) == ("System metrics", False)
    shown = {chart["metricKey"] for chart in state["compareRunCharts"] if "metricKey" in chart}
    points = [chart for chart in state["compareRunCharts"] if chart["type"] == "SCATTER"]
    shown |= {chart[axis]["key"] for chart in points for axis in ("xaxis", "yaxis")}
    assert shown >= {"test/accuracy", "val/accuracy", "train/loss", "trainable_parameters"}
    run = open_store(EXPERIMENT).client.get_run(record.run_id)
    assert shown <= run.data.metrics.keys(), "or a chart is empty"


def test_twenty_runs_have_twenty_colours_which_stay(project: Project) -> None:
    store = open_store(EXPERIMENT)
    runs = [store.client.create_run(store.experiment_id).info.run_id for _ in range(20)]
    dress(store)
    colours = [store.client.get_run(run).data.tags[COLOUR] for run in runs]
    assert len(set(colours)) == 20
    runs.append(store.client.create_run(store.experiment_id).info.run_id)
    dress(store)
    assert [store.client.get_run(run).data.tags[COLOUR] for run in runs[:20]] == colours
    assert store.client.get_run(runs[20]).data.tags[COLOUR] in colours


def test_the_filter_of_the_view_finds_parents_alone(project: Project) -> None:
    record = finish_run(project)
    store = open_store(EXPERIMENT)
    dress(store)
    child = {"mlflow.parentRunId": record.run_id}
    store.client.create_run(store.experiment_id, tags=child)
    state = decode(experiment().tags[VIEW])
    found = store.client.search_runs(
        [store.experiment_id], state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"]
    )
    assert [run.info.run_id for run in found] == [record.run_id]


def test_the_address_names_the_view_and_this_machine() -> None:
    parts = urlsplit(address("7", 5002))
    assert (parts.hostname, parts.port) == ("127.0.0.1", 5002)
    page, _, query = parts.fragment.partition("?")
    assert page == "/experiments/7/runs"
    assert f"mlflow.sharedViewState.{parse_qs(query)['viewStateShareKey'][0]}" == VIEW
    assert address("7", 5002, charts=True) == address("7", 5002) + "&compareRunsMode=CHART"


def test_the_address_is_on_the_tracking_server_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@example.org/")
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    assert address("7", 5002).startswith("https://example.org/#/experiments/7/runs?")


def test_a_run_says_what_it_trains_and_its_test_accuracy_once_it_has_one(project: Project) -> None:
    record = finish_run(project)
    dress(open_store(EXPERIMENT))
    before = "Trains head with a linear head by recipe `default` on `data/synthetic.yaml`."
    assert note(record.run_id) == before
    log_test(project.record, SCORES)
    dress(open_store(EXPERIMENT))
    said = (note(record.run_id) or "").split("\n\n")
    assert said[0] == before
    assert said[1] == "Test accuracy 50.0%, 95% interval 40.0% to 62.5%."
    log_test(project.record, SCORES | {"accuracy": 0.6})
    dress(open_store(EXPERIMENT))
    assert "Test accuracy 60.0%" in (note(record.run_id) or "")


@pytest.mark.parametrize(
    "params",
    [
        {"experiment.train": '["head"]', "experiment.head.kind": "lda"},
        {"experiment.train": "head"},
        {"experiment.train": "5"},
        {"experiment.train": '"head"'},
        {"experiment.train": '["head"]', "experiment.head.hidden": "5"},
        {"experiment.train": '["head"]', "experiment.head.hidden": "[-1]"},
    ],
)
def test_a_run_that_others_made_in_the_experiment_is_left_without_a_description(
    project: Project, params: dict[str, str]
) -> None:
    store = open_store(EXPERIMENT)
    other = store.client.create_run(store.experiment_id, start_time=0).info.run_id
    for key, value in params.items():
        store.client.log_param(other, key, value)
    own = finish_run(project).run_id
    dress(store)
    assert note(other) is None
    assert (note(own) or "").startswith("Trains head ")


def test_what_a_user_wrote_stays(project: Project) -> None:
    record = finish_run(project)
    promote(project.record, 0.5, MODEL)
    store = open_store(EXPERIMENT)
    client = store.client
    client.set_tag(record.run_id, NOTE, "mine")
    client.set_tag(record.run_id, COLOUR, "#123456")
    client.set_experiment_tag(store.experiment_id, NOTE, "mine")
    client.set_experiment_tag(store.experiment_id, VIEW, "mine")
    client.update_registered_model(MODEL, "mine")
    client.update_model_version(MODEL, "1", "mine")
    log_test(project.record, SCORES)
    dress(store)
    describe_model(store, MODEL)
    assert note(record.run_id) == "mine"
    assert client.get_run(record.run_id).data.tags[COLOUR] == "#123456"
    assert (experiment().tags[NOTE], experiment().tags[VIEW]) == ("mine", "mine")
    assert client.get_registered_model(MODEL).description == "mine"
    assert client.get_model_version(MODEL, "1").description == "mine"


def test_a_registered_model_and_its_versions_are_described(project: Project) -> None:
    describe_model(open_store(EXPERIMENT), MODEL)  # of none there is nothing to say
    finish_run(project)
    promote(project.record, 0.5, MODEL)
    describe_model(open_store(EXPERIMENT), MODEL)
    client = open_backend().client
    assert client.get_registered_model(MODEL).description == OF_MODEL
    said = client.get_model_version(MODEL, "1").description
    assert said == "ModelA on data/synthetic.yaml. Source weights: unknown"


@pytest.mark.parametrize("times", [1, 2])
def test_the_command_prints_the_addresses_of_table_and_charts_however_often_it_runs(
    project: Project, times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    finish_run(project)
    for _ in range(times):
        assert command.main(["pages", "--port", "5002"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * times
    table, charts = lines[-2:]
    assert table.endswith(f" {address(experiment().experiment_id, 5002)}")
    assert charts.endswith(f" {address(experiment().experiment_id, 5002, charts=True)}")
