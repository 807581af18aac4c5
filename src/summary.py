"""`python -m src.summary`: what the last run of the pipeline came to, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from src import cli
from src.config import load_params
from src.report.summary import Summary, print_summary


def main(argv: Sequence[str] | None = None) -> None:
    """Print every experiment's accuracies and the next steps, as the last report has them."""
    examples = "  dvc repro && python -m src.summary"
    cli.parser("src.summary", str(main.__doc__), examples).parse_args(argv)
    print_summary(Summary.read(load_params()))


if __name__ == "__main__":
    cli.run(main)
