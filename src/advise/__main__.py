"""`python -m src.advise`: which of the configured experiments suits this dataset, and why."""

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
    """Rank the experiments of params.yaml for this dataset before any of them trains.

    Goes by the number of training images and by how well linear probes on the source network's
    frozen features tell the subjects apart; says what each experiment should cost here.
    """
    parser = cli.parser("src.advise", str(main.__doc__), EXAMPLES)
    parser.add_argument("--faces", type=Path, default=paths.FACES)
    parser.add_argument("--source", type=Path, default=paths.SOURCE)
    parser.add_argument("--check", action="store_true", help="compare with what the runs showed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    params = load_params()
    for path in (options.faces, options.source):
        if not path.is_file():
            raise StaleInputError(str(path), "no such file", "run `dvc repro dataset weights`")

    from src.advise.advice import MeasuredResults, advise, outcome
    from src.training.device import resolve
    from src.training.job import StartingPoint

    measured = MeasuredResults.read(params.experiments) if options.check else None
    starting_point = StartingPoint.load(options.faces, options.source)
    compute = resolve(params.engine.device, params.engine.precision)
    advice = advise(params, starting_point, compute)
    found = outcome(advice, measured) if measured else None
    if options.json:
        print(json.dumps({**asdict(advice), "outcome": asdict(found) if found else None}))
    else:
        show(advice, found)


def show(advice: Advice, found: Outcome | None) -> None:
    """Print reasons, ranking and, where there is one, the outcome."""
    from rich.console import Console
    from rich.table import Table

    width = None if Console().is_terminal else 100
    console = Console(width=width, markup=False, emoji=False)
    for reason in advice.reasons:
        console.print(f"- {reason}", highlight=False)
    table = Table()
    for title in ("", "experiment", "strategy", "parameters", "expected seconds"):
        table.add_column(title, justify="left" if title in ("experiment", "strategy") else "right")
    if found:
        table.add_column("test accuracy", justify="right")
    for place, each in enumerate(advice.ranking, 1):
        cells = (
            str(place),
            each.name,
            each.strategy,
            f"{each.parameters:,}",
            f"{each.seconds:.1f}",
        )
        table.add_row(*cells, *([f"{found.test[each.name]:.1%}"] if found else []))
    console.print(table)
    if found:
        console.print(
            f"Advised {found.advised}; validation chose {found.best}. On the test images the two "
            f"differ by {100 * (found.test[found.advised] - found.test[found.best]):+.1f} points "
            f"(p = {found.p:.2g}); Kendall's tau of the whole ranking: {found.tau:+.2f}.",
            highlight=False,
        )


if __name__ == "__main__":
    cli.run(main)
