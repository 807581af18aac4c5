"""`python -m src.tune`: search ModelD's head with Optuna."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from src import cli
from src.config import load_params
from src.errors import ConfigError
from src.tune.options import add_options, with_options

EXAMPLES = """\
  python -m src.tune --trials 50
  python -m src.tune --preset tune-mission
  python -m src.tune --study narrow --width 64:512 --pruner median --timeout 300
  python -m src.tune --storage postgresql://me@localhost/studies --workers 4"""


def main(argv: Sequence[str] | None = None) -> None:
    """Search for the best MLP head on cached features and write it to tune/best.yaml.

    Options that are not given are taken from `tune` in params.yaml. A study that was stopped is
    resumed by the same command.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    parser = cli.parser("src.tune", str(main.__doc__), EXAMPLES)
    add_options(parser)
    parser.add_argument("--timeout", type=float, help="seconds after which no new wave starts")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes (1); several need PostgreSQL",
    )
    what = "log nothing to MLflow, as with tracking.offline; the same command without it does later"
    parser.add_argument("--no-mlflow", action="store_true", help=what)
    parser.add_argument("--as-worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    params = with_options(load_params(), options)
    if options.workers < 1 or not (options.timeout is None or options.timeout > 0):
        raise ConfigError(
            "command line", "--workers or --timeout is not above 0", "give a positive number"
        )

    from src.tune.command import Command

    offline = options.no_mlflow or params.tracking.offline
    command = Command(params, options.timeout, mlflow=not offline)
    if options.as_worker:
        command.run_worker(options.as_worker)
    else:
        command.run(given, options.workers)


if __name__ == "__main__":
    cli.run(main)
