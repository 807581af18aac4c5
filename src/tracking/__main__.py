"""`python -m src.tracking reconcile`: make the MLflow runs that restored outputs speak of."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src import paths
from src.cli import parser, run
from src.errors import UserError
from src.tracking.reconcile import log_test, reconcile
from src.tracking.record import RunRecord
from src.tracking.registry import DIGITS, promote

ACCURACY = "best_val/accuracy"  # among the record's figures
EXAMPLES = """\
  dvc pull && python -m src.tracking reconcile
  python -m src.tracking reconcile ../other-clone"""


def main(argv: Sequence[str] | None = None) -> int:
    """Rebuild every run that DVC restored and MLflow does not have, and files that runs lost."""
    arguments = parser("src.tracking", str(main.__doc__), EXAMPLES)
    arguments.add_argument("command", choices=["reconcile"])
    arguments.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(),
        help="where runs/*.json are; by default here",
    )
    folder, code = arguments.parse_args(argv).folder, 0
    pattern = paths.run_record("*")
    records = sorted(folder.glob(str(pattern)))
    if not records:
        print(f"{folder / pattern}: no record of a run, so there is nothing to reconcile")
    for record in records:
        try:
            reconcile_one(record, folder)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
    return code


def reconcile_one(path: Path, folder: Path) -> None:
    """One record's run, its test metrics, and its promotion if it was the chosen one.

    Figures and choices of another network than the record's are not taken for its own: a stage
    that was stopped leaves earlier ones behind.
    """
    done, record = reconcile(path), RunRecord.read(path)
    print(f"{path}: {done.state} as run {done.run_id}")
    if record.model is None:
        return
    scored = folder / paths.evaluated_model(record.name)
    scores = _read(folder / paths.TEST_METRICS).get(record.name)
    if scores and scored.is_file() and scored.read_text().strip() == record.model.md5:
        files = sorted(scored.parent.iterdir())
        log_test(path, scores, [(file, "test") for file in files])
    accuracy, champion = record.finals.get(ACCURACY, 0.0), _read(folder / paths.REGISTERED)
    chosen = {"name": record.name, "val_accuracy": round(accuracy, DIGITS)}
    if chosen.items() <= champion.items() and "model" in champion:
        print(f"{path}: {promote(path, accuracy, champion['model']).sentence}")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


if __name__ == "__main__":
    run(main)
