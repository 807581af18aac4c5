"""`python -m src.tracking`: rebuild runs that DVC restored, and make MLflow's pages readable."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src import paths
from src.cli import parser, run
from src.config import PARAMS, load_params
from src.config.tracking import Tracking
from src.errors import TrackingError, UserError
from src.models.threshold import Threshold
from src.tracking.attached import restore
from src.tracking.champion import version_uri
from src.tracking.gate import gate_of
from src.tracking.pages import address, describe_model, dress, dress_all
from src.tracking.reconcile import log_test, reconcile
from src.tracking.record import RunRecord
from src.tracking.registry import promote
from src.tracking.seeds import SEEDS
from src.tracking.store import open_backend, open_store
from src.tracking.version import DIGITS

ACCURACY = "best_val/accuracy"  # among a record's final metrics
EXAMPLES = """\
  dvc pull && python -m src.tracking reconcile
  python -m src.tracking reconcile ../other-clone
  python -m src.tracking pages --port 5000"""
PORT = 5000  # of MLflow's own server


def main(argv: Sequence[str] | None = None) -> int:
    """Rebuild the runs that are missing in MLflow, and lost files of others, from runs/*.json.

    After `dvc pull` on a fresh clone, MLflow then has the runs, the test scores and the champion.
    `pages` gives MLflow's pages a table of the runs with their accuracies, and descriptions where
    there are none, and prints the addresses of that table and of its charts; `make ui` does both.
    """
    arguments = parser("src.tracking", str(main.__doc__), EXAMPLES)
    arguments.add_argument("command", choices=["reconcile", "pages"])
    arguments.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        help="folder that holds runs/; by default this one",
    )
    arguments.add_argument(
        "--port", type=int, default=PORT, help="where `pages` will be served (%(default)s)"
    )
    given = arguments.parse_args(argv)
    if given.command == "pages":
        dress_pages(load_params(given.folder / PARAMS).tracking, given.port)
        return 0
    folder, code, done = given.folder, 0, list[Path]()
    if not folder.is_dir():
        raise TrackingError(str(folder), "no such folder", "name one that holds runs/")
    pattern = paths.run_record("*")
    records = sorted(folder.glob(str(pattern)))
    if not records:
        print(f"{folder / pattern}: no such file, so there is nothing to reconcile")
    for record in records:
        try:
            reconcile_one(record, folder)
            done.append(record)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
    dress_all(done)
    if done:
        restore_thresholds(folder / paths.THRESHOLD)
    return code


def restore_thresholds(path: Path) -> None:
    """Give the threshold in `path`, if there is one, back to the versions that have lost it."""
    for version in restore(open_backend(), path) if path.is_file() else ():
        print(f"{version_uri(version)}: its threshold is restored")


def dress_pages(tracking: Tracking, port: int) -> None:
    """Give MLflow's pages our view and descriptions, and print the addresses of the view."""
    store = open_store(tracking.experiment)
    dress(store)
    describe_model(store, tracking.model)
    print(f"the runs, the best on test first: {address(store.experiment_id, port)}")
    print(f"the same as charts: {address(store.experiment_id, port, charts=True)}")


def reconcile_one(path: Path, folder: Path) -> None:
    """Rebuild the run of one record, its test metrics, and its promotion if it was the best.

    A network that was judged before is registered and gets its threshold, no more: the choice may
    be of an old commit, and later ones, by the gate or by hand, hold.

    Test scores and promotion count only if they are of the record's own network: a pipeline that
    was stopped leaves those of an earlier one behind.
    """
    done, record = reconcile(path), RunRecord.read(path)
    print(f"{path}: {done.state} as run {done.run_id}")
    if record.model is None:
        return
    scored = folder / paths.evaluated_model(record.name)
    scores = _read(folder / paths.TEST_METRICS).get(record.name)
    if scores and scored.is_file() and scored.read_text().strip() == record.model.md5:
        files = sorted(scored.parent.iterdir())
        seeds = _read(folder / paths.seed_scores(record.name)).get(SEEDS, [])
        log_test(path, scores, files, seeds)
    accuracy, champion = record.finals.get(ACCURACY, 0.0), _read(folder / paths.REGISTERED)
    if _is_of(champion, record.name, accuracy) and "model" in champion:
        threshold = _threshold(folder / paths.THRESHOLD, record.model.md5)
        model, gate = champion["model"], gate_of(folder / PARAMS)
        made = promote(path, accuracy, model, threshold, gate, again=False)
        print(f"{path}: {made.sentence}")
        describe_model(open_backend(), model)


def _is_of(champion: Mapping[str, Any], name: str, accuracy: float) -> bool:
    """Whether a choice is of this network, whose mean accuracy was rounded in another way."""
    given = champion.get("val_accuracy")
    close = isinstance(given, (int, float)) and abs(given - accuracy) < 2 * 10**-DIGITS
    return close and champion.get("name") == name


def _threshold(path: Path, model: str) -> Path | None:
    """`path` if it is the threshold of the model file with the md5 `model`."""
    return path if path.is_file() and Threshold.load(path).model == model else None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


if __name__ == "__main__":
    run(main)
