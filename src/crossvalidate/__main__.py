"""`python -m src.crossvalidate`: the accuracy over all images of a small dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from src import cli, paths
from src.config import load_params
from src.errors import StaleInputError

EXAMPLES = """\
  python -m src.crossvalidate
  python -m src.crossvalidate --folds 10 Baseline ModelA
  python -m src.crossvalidate && dvc metrics show crossvalidation/metrics.json"""


def main(argv: Sequence[str] | None = None) -> None:
    """Predict every image by a network that never saw it, and compare experiments on all of them.

    All images take part: those of an origin with a test split are put together. They are divided
    into folds; for each fold, every experiment is trained on the others, which also choose its
    epoch. The command writes a DVC stage, crossvalidation/dvc.yaml, and runs it: repeated, it does
    nothing, and after a stop it trains only what is missing. MLflow gets a run for each experiment
    with a child run for each fold.
    """
    parser = cli.parser("src.crossvalidate", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="experiments of params.yaml; by default all"
    )
    parser.add_argument("--folds", type=int, default=5, help="how many (%(default)s)")
    options = parser.parse_args(argv)
    from src.crossvalidate.folds import check_count, make_folds

    params = load_params()
    names = list(dict.fromkeys(options.names)) or list(params.experiments)
    for name in names:
        params.experiment(name)
    check_count(options.folds)
    if not Path(".dvc").is_dir():
        raise StaleInputError(
            str(Path.cwd()), "not a DVC project", "run from the project's folder, or `dvc init`"
        )

    from src.crossvalidate import outputs
    from src.crossvalidate.stage import write_stage
    from src.data.faceset import FaceSet
    from src.repro import repro

    repro("dataset", "weights")
    make_folds(FaceSet.load(paths.FACES), options.folds, params)
    write_stage(names, options.folds)
    repro(outputs.PIPELINE.as_posix(), show=True)
    lines = outputs.TABLE.read_text(encoding="utf-8").splitlines()
    print("\n".join(line for line in lines if line.startswith("|")))
    print(f"written to {outputs.FOLDER}/")


if __name__ == "__main__":
    cli.run(main)
