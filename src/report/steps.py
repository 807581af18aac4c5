"""What to do after a report: the one step that would tell most, with its command.

A literature study runs in a copy of the project that is thrown away: its rows are not in the
workspace, where commands would change or use others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.config import BEST, BEST_NAME
from src.report.formats import listed

if TYPE_CHECKING:
    from src.report.comparison import Comparison, ExperimentResult

CROSSVALIDATE = "python -m src.crossvalidate"
PRESET_ROWS = ("ModelA", "ModelB", "ModelC")  # those whose own seeds the preset `seeds` removes


@dataclass(frozen=True)
class NextStep:
    """What to do now, and the command that does it; empty where none does."""

    says: str
    command: str = ""


def next_step(comparison: Comparison) -> NextStep:
    """What would tell most about the question that the table leaves open."""
    if rows := comparison.improving:
        row = max(rows, key=lambda row: row.trained.val.value)
        return NextStep(
            f"{row.name} was still improving when its epochs ended. Train it for longer:",
            _run(comparison, f"-S {_key(row.name)}.epochs={2 * row.trained.epochs}"),
        )
    if min(row.test.seeds for row in comparison.rows) == 1:
        return NextStep(
            "A row with one seed says nothing about what another would give. Train several:",
            _run(comparison, _more_seeds(comparison)),
        )
    if doubt := _doubt(comparison):
        return _more_images(comparison, doubt)
    return _with_the_best(comparison)


def _doubt(comparison: Comparison) -> str:
    """Why the test images do not bear out what validation chose; empty where they do."""
    best, reference = comparison.best, comparison.reference
    if beating := comparison.beating:
        others = listed(row.name for row in beating)
        return f"Validation and test disagree about {best.name} and {others}."
    if best.against_reference is not None and not best.against_reference.beyond_chance:
        return _too_few(best, reference)
    return ""


def _with_the_best(comparison: Comparison) -> NextStep:
    """What to do with the best row, which no other is shown to beat."""
    best = comparison.best
    searched = any(row.name == BEST_NAME for row in comparison.rows)
    if not best.unfrozen and not searched and not comparison.study:
        return NextStep(
            f"The best row, {best.name}, trains only a head. Search for a better head:",
            "python -m src.tune",
        )
    if comparison.simplest is not best:
        return _more_images(comparison, _too_few(best, comparison.simplest))
    says = f"The answer is as sure as these images allow. Use {best.name}"
    if comparison.study:
        return NextStep(f"{says}.")
    command = f"python -m src.predict --model models/{best.name}.safetensors photo.jpg"
    return NextStep(f"{says}:", command)


def _too_few(best: ExperimentResult, other: ExperimentResult) -> str:
    return (
        f"These {best.test.images} test images are too few to tell {best.name} from {other.name}."
    )


def _more_images(comparison: Comparison, why: str) -> NextStep:
    """Cross-validation, which is of the workspace's rows; a literature study has to have more."""
    if comparison.study:
        return NextStep(f"{why} More images would tell.")
    return NextStep(
        f"{why} Test on every image in turn by cross-validation, which also trains on every "
        "image, so that these are no longer unseen:",
        CROSSVALIDATE,
    )


def _run(comparison: Comparison, changes: str) -> str:
    """The command that trains with `changes`, where the rows were trained."""
    study = comparison.study
    where = f"--temp $(python -m src.preset {study}) " if study else ""
    return f"dvc exp run {where}{changes}"


def _more_seeds(comparison: Comparison) -> str:
    """Arguments that give every row five seeds, also those that have a number of their own."""
    own = [row.name for row in comparison.rows if row.experiment.seeds is not None]
    common = "-S seeds=5"
    names = {row.name for row in comparison.rows}
    if names.issuperset(PRESET_ROWS) and not comparison.study:
        own = [name for name in own if name not in PRESET_ROWS]
        common = "$(python -m src.preset seeds)"
    return " ".join([common, *(f"-S {_key(name)}.seeds=null" for name in own)])


def _key(name: str) -> str:
    """An experiment's place in params.yaml, or in the file of the search that found it."""
    return f"{BEST}:best.{name}" if name == BEST_NAME else f"experiments.{name}"
