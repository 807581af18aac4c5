"""`python -m src.evaluation.difference`: compare the test results of two runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src import cli
from src.errors import StaleInputError, printable
from src.evaluation.predictions import Predictions
from src.evaluation.significance import PairedTest, adjust, paired_test

EXAMPLES = """\
  cp data/predictions.safetensors earlier.safetensors
  dvc exp run -S recipe=reference
  python -m src.evaluation.difference earlier.safetensors data/predictions.safetensors
  python -m src.evaluation.difference a.safetensors b.safetensors --only Baseline ModelA"""


@dataclass(frozen=True)
class ExperimentDifference:
    """One experiment's mean test accuracy in two runs, with the paired test of the difference.

    `holm` is `paired.p` adjusted for the number of experiments by Holm's method.
    """

    experiment: str
    earlier: float
    later: float
    paired: PairedTest
    holm: float


def main(argv: Sequence[str] | None = None) -> None:
    """Compare two runs' stored predictions on the same test images, experiment by experiment.

    Shows the mean accuracies over the seeds, the tested difference, how many images only one run
    got right (or with more of its seeds), and the p value, also adjusted by Holm's method. Where
    a run has several seeds, the test is over its seeds and images, otherwise it is McNemar's exact
    test of two networks. If you decided beforehand to ask about some experiments only, name
    them with --only: fewer tests, less adjustment.
    """
    parser = cli.parser("src.evaluation.difference", str(main.__doc__), EXAMPLES)
    parser.add_argument("earlier", type=Path, help="a data/predictions.safetensors")
    parser.add_argument("later", type=Path, help="another one, for the same test images")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="experiments to compare; all by default"
    )
    parser.add_argument(
        "--repacked",
        action="store_true",
        help="the images are the same, packed in another size or shape",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    found = differences(options.earlier, options.later, options.only, options.repacked)
    if options.json:
        print(json.dumps([asdict(difference) for difference in found]))
    else:
        show(found)


def differences(
    earlier: Path, later: Path, only: Sequence[str] | None, repacked: bool = False
) -> tuple[ExperimentDifference, ...]:
    """Compare the experiments that both runs have; raises StaleInputError if images differ.

    repacked: whether their pixels may, as where `data.image_size` or `data.fit` is another.
    """
    before, after = Predictions.load(earlier), Predictions.load(later)
    other = f"is for other test images than {earlier}"
    if not _same_rows(before, after):
        raise StaleInputError(str(later), other, "compare runs of one dataset")
    known = before.images and after.images
    if known and before.images != after.images and not repacked:
        mend = "compare runs of one dataset and seed, or add --repacked if only the packing differs"
        raise StaleInputError(str(later), other, mend)
    shared = [name for name in before.logits if name in after.logits]
    names = list(only or shared)
    missing = [name for name in names if name not in shared]
    if missing or not names:
        what = f"shares no experiment {', '.join(missing)}".rstrip() + f" with {earlier}"
        raise StaleInputError(str(later), what, f"they share: {', '.join(shared) or 'none'}")
    tests = [paired_test(after.correct(name), before.correct(name)) for name in names]
    return tuple(
        ExperimentDifference(
            experiment=name,
            earlier=float(before.correct(name).mean()),
            later=float(after.correct(name).mean()),
            paired=test.paired,
            holm=test.p,
        )
        for name, test in zip(names, adjust(tests), strict=True)
    )


def _same_rows(before: Predictions, after: Predictions) -> bool:
    return before.subjects == after.subjects and all(
        one.tolist() == other.tolist()
        for one, other in ((before.labels, after.labels), (before.rows, after.rows))
    )


def show(found: Sequence[ExperimentDifference]) -> None:
    """Print the comparison as a table."""
    from rich.console import Console
    from rich.table import Table

    titles = ("earlier", "later", "difference", "only earlier", "only later", "test", "p", "Holm")
    table = Table("experiment")
    for title in titles:
        table.add_column(title, justify="right")
    for difference in found:
        paired = difference.paired
        table.add_row(
            printable(difference.experiment),
            f"{difference.earlier:.1%}",
            f"{difference.later:.1%}",
            f"{100 * paired.difference:+.1f}",
            str(paired.only_second),
            str(paired.only_first),
            "seeds" if paired.over_seeds else "McNemar",
            f"{paired.p:.3f}",
            f"{difference.holm:.3f}",
        )
    width = None if Console().is_terminal else 110
    # Without markup, for which rich would take `[red]` in a name.
    Console(width=width, markup=False, emoji=False).print(table)


if __name__ == "__main__":
    cli.run(main)
