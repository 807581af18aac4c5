"""What to do after a report: the one step that would tell most, with its command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.config import BEST, BEST_NAME

if TYPE_CHECKING:
    from src.report.comparison import Comparison, ExperimentResult

CROSSVALIDATE = "python -m src.crossvalidate"
PRESET_ROWS = ("ModelA", "ModelB", "ModelC")  # those whose own seeds the preset `seeds` removes


@dataclass(frozen=True)
class NextStep:
    """What to do now, and the command that does it."""

    says: str
    command: str


def next_step(comparison: Comparison) -> NextStep:
    """What would tell most about the question that the table leaves open."""
    best = comparison.best
    if rows := comparison.improving:
        row = max(rows, key=lambda row: row.trained.val.value)
        return NextStep(
            f"{row.name} was still improving when its epochs ended. Train it for longer:",
            f"dvc exp run -S {_key(row.name)}.epochs={2 * row.trained.epochs}",
        )
    if min(row.test.seeds for row in comparison.rows) == 1:
        return NextStep(
            "A row with one seed says nothing about what another would give. Train several:",
            f"dvc exp run {_more_seeds(comparison)}",
        )
    if best.against_reference is not None and not best.against_reference.beyond_chance:
        return NextStep(_too_few(best, comparison.reference), CROSSVALIDATE)
    if not best.unfrozen:
        return NextStep(
            f"The best row, {best.name}, trains only a head. Search for a better head:",
            "python -m src.tune",
        )
    if comparison.simplest is not best:
        return NextStep(_too_few(best, comparison.simplest), CROSSVALIDATE)
    return NextStep(
        f"The answer is as sure as these images allow. Use {best.name}:",
        f"python -m src.predict --model models/{best.name}.safetensors photo.jpg",
    )


def _too_few(best: ExperimentResult, other: ExperimentResult) -> str:
    return (
        f"These {best.test.images} test images are too few to tell {best.name} from {other.name}. "
        "Test on every image in turn by cross-validation, which also trains on every image, so "
        "that these are no longer unseen:"
    )


def _more_seeds(comparison: Comparison) -> str:
    """Arguments that give every row five seeds, also those that have a number of their own."""
    own = [row.name for row in comparison.rows if row.experiment.seeds is not None]
    common = "-S seeds=5"
    if {row.name for row in comparison.rows}.issuperset(PRESET_ROWS):
        own = [name for name in own if name not in PRESET_ROWS]
        common = "$(python -m src.preset seeds)"
    return " ".join([common, *(f"-S {_key(name)}.seeds=null" for name in own)])


def _key(name: str) -> str:
    """An experiment's place in params.yaml, or in the file of the search that found it."""
    return f"{BEST}:best.{name}" if name == BEST_NAME else f"experiments.{name}"
