"""`python -m src.tracking reconcile`: make the MLflow runs that restored outputs speak of."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.cli import parser, run
from src.config import PARAMS, load_params
from src.errors import UserError
from src.tracking.reconcile import log_test, reconcile
from src.tracking.record import RunRecord
from src.tracking.registry import promote

RECORDS, TEST, CHAMPION = "runs/*.json", "metrics/test.json", "metrics/champion.json"
TEST_FILES = "plots/test/{}/*"
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
        help="where params.yaml and runs/*.json are; by default here",
    )
    folder, code = arguments.parse_args(argv).folder, 0
    records = sorted(folder.glob(RECORDS))
    if not records:
        print(f"{folder / RECORDS}: no record of a run, so there is nothing to reconcile")
    for record in records:
        try:
            reconcile_one(record, folder)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 2
    return code


def reconcile_one(path: Path, folder: Path) -> None:
    """One record's run, its test metrics, and its promotion if it was the chosen one."""
    done, name = reconcile(path), RunRecord.read(path).name
    print(f"{path}: {done.state} as run {done.run_id}")
    if scores := _read(folder / TEST).get(name):
        files = sorted(folder.glob(TEST_FILES.format(name)))
        log_test(path, scores, [(file, "test") for file in files])
    champion = _read(folder / CHAMPION)
    if champion.get("name") == name:
        model = load_params(folder / PARAMS).tracking.model
        print(f"{path}: {promote(path, champion['val_accuracy'], model).sentence}")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


if __name__ == "__main__":
    run(main)
