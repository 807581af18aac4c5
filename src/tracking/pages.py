"""What MLflow's own pages show of this project: a view of the runs, colours and descriptions.

Without a view its table of runs has no column with a metric. A view is a tag of an experiment,
whose key is a part of the page's address and whose name is in the page's menu. What a user wrote or
changed in the pages stays: a description that is not one of ours is left alone, and so is a view or
a colour that is there.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from src.config import Head
from src.tracking.champion import ALIAS, CHALLENGER, LICENCE, ORIGIN, description
from src.tracking.charts import COLOURS, chart_state
from src.tracking.children import MAX_RESULTS
from src.tracking.record import RunRecord, now
from src.tracking.store import Backend, Store, open_store, reachable, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

KEY = "experiments"  # of the view; a changed view needs another, as the old one is left alone
NAME = "Experiments, the best on test first"
VIEW, NOTE, KIND = f"mlflow.sharedViewState.{KEY}", "mlflow.note.content", "mlflow.experimentKind"
COLOUR = "mlflow.runColor"  # tag; or MLflow takes one by the run's id, which two may share
TRAINING = "custom_model_development"  # the kind whose page shows runs, not traces
PREFIX = "deflate;"
WIDTH, WIDE = 130, 200  # pixels of a column, or the names of metrics and origins are cut off
METRICS = (
    *("test/accuracy", "test/accuracy_low", "test/accuracy_high", "val/accuracy"),
    "seconds_per_epoch",
)
PARAMETERS = (ORIGIN, "experiment.train", "experiment.head.hidden", "seeds")
PARENTS_ONLY = "tags.mlflow.parentRunId IS NULL"
BLOCKS = TypeAdapter(list[str])
OF_EXPERIMENT = (
    "Each run is one experiment of `params.yaml`: a way to fine-tune the same network on the same "
    "faces. Its metrics are means over its seeds, which are its child runs. Test scores come from "
    "the `evaluate` stage.\n\nThe report that compares them with intervals and paired tests is "
    "`reports/index.html` in the project's folder; `dvc repro` makes it."
)
OF_MODEL = (
    f"Names the person in a photo of a face, or says `unknown`. The version with the alias "
    f"`{ALIAS}` is in use; `{CHALLENGER}` was registered last without taking its place. "
    "`python -m src.registry list` shows why."
)


def address(experiment_id: str, port: int, *, charts: bool = False) -> str:
    """The page with our view of an experiment, its table or charts.

    It is on the tracking server, or where `make ui` serves it.
    """
    query = f"workflowType=machine_learning&viewStateShareKey={KEY}"
    query += "&compareRunsMode=CHART" if charts else ""
    server = tracking_uri().rstrip("/")
    server = server if server.startswith("http") else f"http://127.0.0.1:{port}"
    return f"{server}/#/experiments/{experiment_id}/runs?{query}"


def view() -> dict[str, Any]:
    """The state of MLflow's page of runs: one row for each experiment, the best on test first."""
    columns = [*(f"metrics.`{key}`" for key in METRICS), *(f"params.`{key}`" for key in PARAMETERS)]
    return {
        "searchFilter": PARENTS_ONLY,
        "orderByKey": columns[0],
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, WIDTH) | {f"params.`{ORIGIN}`": WIDE},
        "viewMaximized": True,  # the table alone, without the charts
        **chart_state(),
    }


def encode(state: Mapping[str, Any], created: int) -> str:
    """A view as MLflow's pages write it into a tag; `created` in milliseconds since 1970."""
    packed = PREFIX + b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": NAME, "createdAt": created, "updatedAt": created, "state": packed})


def decode(tag: str) -> dict[str, Any]:
    """What `encode` was given."""
    packed = json.loads(tag)["state"].removeprefix(PREFIX)
    return dict(json.loads(zlib.decompress(b64decode(packed))))


def dress_all(records: Iterable[Path]) -> None:
    """Dress the MLflow experiments that hold the runs of the records in these files."""
    for name in sorted({RunRecord.read(path).experiment for path in records}):
        dress(open_store(name))


@reachable()
def dress(store: Store) -> None:
    """Give the experiment its view and description, and runs a colour and a description."""
    dress_experiment(store)
    oldest_first = ["attributes.start_time ASC"]
    runs = store.client.search_runs(
        [store.experiment_id], PARENTS_ONLY, order_by=oldest_first, max_results=MAX_RESULTS
    )
    colour_runs(store, runs)
    for run in runs:
        describe_run(store, run)


def colour_runs(store: Store, runs: Sequence[Run]) -> None:
    """Give each run that has no colour the one that the fewest have."""
    taken = Counter(run.data.tags.get(COLOUR) for run in runs)
    for run in runs:
        if COLOUR not in run.data.tags:
            colour = min(COLOURS, key=lambda each: taken[each])
            taken[colour] += 1
            store.client.set_tag(run.info.run_id, COLOUR, colour)


def dress_experiment(store: Store) -> None:
    """Give the experiment its view and description; what it has of them stays."""
    client, known = store.client, store.client.get_experiment(store.experiment_id).tags
    for key, value in ((VIEW, encode(view(), now())), (NOTE, OF_EXPERIMENT), (KIND, TRAINING)):
        if not known.get(key):
            client.set_experiment_tag(store.experiment_id, key, value)


def describe_run(store: Store, run: Run) -> None:
    """Describe a run of an experiment in two lines, unless a user has described it."""
    if not (about := trained(run.data.params, run.data.tags.get(ORIGIN, "unknown data"))):
        return
    tested = reached(run.data.metrics)
    wanted = f"{about}\n\n{tested}" if tested else about
    known = run.data.tags.get(NOTE, "")
    ours = re.fullmatch(rf"({re.escape(about)}(\n\nTest accuracy [^\n]*)?)?", known)
    if ours and known != wanted:
        store.client.set_tag(run.info.run_id, NOTE, wanted)


def trained(params: Mapping[str, str], origin: str) -> str:
    """What a run trains, as a sentence; empty if it is not of an experiment of params.yaml.

    So it is for a run that others made in the same MLflow experiment, or a later release.
    """
    try:
        blocks = BLOCKS.validate_json(params.get("experiment.train", ""))
        head = Head(
            kind=params.get("experiment.head.kind", "mlp"),
            hidden=tuple(json.loads(params.get("experiment.head.hidden", "[]"))),
            dropout=tuple(json.loads(params.get("experiment.head.dropout", "[]"))),
        )
    except (ValueError, TypeError):
        return ""
    what = "everything" if "all" in blocks else " + ".join(blocks)
    recipe = _code(params.get("recipe.name", "default"))
    return f"Trains {what} with a {head.label} head by recipe {recipe} on {_code(origin)}."


def reached(metrics: Mapping[str, float]) -> str:
    """The test accuracy of a run with its interval, as a sentence; empty until it is evaluated."""
    if "test/accuracy" not in metrics:
        return ""
    said = f"Test accuracy {metrics['test/accuracy']:.1%}"
    ends = [metrics[key] for key in ("test/accuracy_low", "test/accuracy_high") if key in metrics]
    return f"{said}, 95% interval {ends[0]:.1%} to {ends[1]:.1%}." if len(ends) == 2 else f"{said}."


@reachable()
def describe_model(backend: Backend, model: str) -> None:
    """Describe a registered model and its versions, unless a user has; nothing if there is none."""
    from mlflow.exceptions import MlflowException

    client = backend.client
    try:
        registered = client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return
    if not registered.description:
        client.update_registered_model(model, OF_MODEL)
    for version in client.search_model_versions(f"name = '{model}'"):
        if not version.description:
            said = f"{description(version)}. Source weights: {version.tags.get(LICENCE, 'unknown')}"
            client.update_model_version(model, str(version.version), said)


def _code(text: str) -> str:
    """Text as it is, in Markdown."""
    return f"`{text.replace('`', '')}`"
