"""`python -m src.advise`: which of the experiments suits this dataset, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from src import cli, paths
from src.config import load_params
from src.errors import StaleInputError

if TYPE_CHECKING:
    from src.advise.advice import Advice, Outcome

EXAMPLES = """\
  dvc repro dataset weights && python -m src.advise
  python -m src.advise --json
  dvc repro && python -m src.advise --check"""


def main(argv: Sequence[str] | None = None) -> None:
    """Rank the experiments of params.yaml for this dataset before any of them is trained.

    The ranking depends on the number of training images, and on how well linear probes of the
    source network's frozen features tell the subjects apart. The expected training time of one
    seed of each experiment on this machine is shown beside it.
    """
    parser = cli.parser("src.advise", str(main.__doc__), EXAMPLES)
    parser.add_argument("--faces", type=Path, default=paths.FACES, help="default: %(default)s")
    parser.add_argument("--source", type=Path, default=paths.SOURCE, help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="compare with the results of the runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    params = load_params()
    for path in (options.faces, options.source):
        if not path.is_file():
            raise StaleInputError(str(path), "no such file", "run `dvc repro dataset weights`")

    from src.advise.advice import MeasuredResults, advise, outcome
    from src.training.device import resolve
    from src.training.job import StartingPoint

    starting_point = StartingPoint.load(options.faces, options.source)
    measured = None
    if options.check:
        measured = MeasuredResults.read(params.experiments, starting_point)
    compute = resolve(params.engine.device, params.engine.precision)
    advice = advise(params, starting_point, compute)
    result = outcome(advice, measured) if measured else None
    if options.json:
        print(json.dumps({**asdict(advice), "outcome": asdict(result) if result else None}))
    else:
        show(advice, result)


def show(advice: Advice, result: Outcome | None) -> None:
    """Print the reasons, the ranking, and the outcome if there is one."""
    from rich.console import Console
    from rich.table import Table

    width = None if Console().is_terminal else 100
    console = Console(width=width, markup=False, emoji=False)
    for reason in advice.reasons:
        console.print(f"- {reason}", highlight=False)
    table = Table()
    for title in ("", "experiment", "strategy", "parameters", "seconds a seed"):
        table.add_column(title, justify="left" if title in ("experiment", "strategy") else "right")
    if result:
        table.add_column("test accuracy", justify="right")
    for place, candidate in enumerate(advice.ranking, 1):
        cells = (
            str(place),
            candidate.name,
            candidate.strategy,
            f"{candidate.parameters:,}",
            f"{candidate.seconds:.1f}",
        )
        table.add_row(*cells, *([f"{result.test[candidate.name]:.1%}"] if result else []))
    console.print(table)
    if result:
        points = 100 * (result.test[result.advised] - result.test[result.best])
        tau = "not defined" if result.tau is None else f"{result.tau:+.2f}"
        console.print(
            f"Advised: {result.advised}; best by validation: {result.best}; difference on the test "
            f"images: {points:+.1f} percentage points (p = {result.p:.2g}). "
            f"Kendall's tau of the whole ranking: {tau}.",
            highlight=False,
        )


if __name__ == "__main__":
    cli.run(main)
