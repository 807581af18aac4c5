"""`python -m benchmarks.workers`: what more workers of one search gain, and ask of PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.options import count
from src import cli, paths
from src.closure import ROOT
from src.config import PARAMS, load_params
from src.errors import TuneError

POLL = 0.2  # seconds between counts of connections
EXAMPLES = """\
  python -m benchmarks.workers
  python -m benchmarks.workers --workers 1 2 --trials 200 --wave 4
  python -m benchmarks.workers --trials 60 --epochs 100 --json"""


@dataclass(frozen=True)
class Scaling:
    """The search by one number of workers.

    seconds: from the start of the first trial to the end of the last, so without the start of
    processes. ratio: trials a minute over those of the first row. duplicates: finished trials with
    the parameters of another. lost: asked for, and not finished. connections: the most at once.
    transactions: of the database, for each trial.
    """

    workers: int
    seconds: float
    trials: int
    per_minute: float
    ratio: float
    duplicates: int
    lost: int
    connections: int
    transactions: float

    def __str__(self) -> str:
        return (
            f"{self.workers:>7}{self.seconds:>9.1f}{self.trials:>8}{self.per_minute:>10.1f}"
            f"{self.ratio:>7.2f}{self.duplicates:>12}{self.lost:>6}{self.connections:>13}"
            f"{self.transactions:>14.0f}"
        )


HEADER = (
    f"{'workers':>7}{'s':>9}{'trials':>8}{'a minute':>10}{'ratio':>7}{'duplicates':>12}{'lost':>6}"
    f"{'connections':>13}{'transactions':>14}"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the same search with each number of workers, on a PostgreSQL server of its own.

    Each worker has one thread, so more workers than cores gain nothing. It searches on the features
    that the pipeline computed, in a temporary folder.
    """
    parser = cli.parser("benchmarks.workers", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    add("--workers", nargs="+", type=count, default=[1, 2, 4], help="how many (1 2 4)")
    add("--trials", type=count, default=100, help="of each search (%(default)s)")
    add("--epochs", type=count, help="of each trial, instead of params.yaml's")
    add("--wave", type=count, help="trials that a worker trains at once, instead of params.yaml's")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    load_params()
    search = ["--trials", str(options.trials)]
    for name in ("epochs", "wave"):
        if given := getattr(options, name):
            search += [f"--{name}", str(given)]
    if not options.json:
        print(HEADER)
    first = None
    for number in options.workers:
        found = measure(number, options.trials, search, first)
        first = first or found.per_minute
        print(json.dumps(asdict(found)) if options.json else found, flush=True)
    cores = os.cpu_count() or 1
    if not options.json and max(options.workers) > cores:
        print(f"{cores} cores: more than {cores} workers of one thread cannot be faster")


def measure(workers: int, trials: int, search: Sequence[str], first: float | None) -> Scaling:
    """Search in a temporary copy of the inputs; raises TuneError if it fails."""
    import pytest
    from sqlalchemy import NullPool, create_engine, text

    from tests.tune import postgres  # as the tests and `make up` start it

    try:
        with postgres.server() as url, tempfile.TemporaryDirectory() as folder:
            engine = create_engine(url, poolclass=NullPool)

            def ask(query: str) -> int:
                with engine.connect() as connection:
                    return int(connection.execute(text(query)).scalar_one())

            before, connections = ask(COMMITTED), 0
            process = _start(Path(folder), workers, [*search, "--storage", url])
            asked = 0
            while process.poll() is None:
                connections, asked = max(connections, ask(CONNECTED)), asked + 1
                time.sleep(POLL)
            if process.returncode:
                what = f"a search with {workers} workers failed"
                raise TuneError("benchmarks.workers", what, "see its message above")
            committed = ask(COMMITTED) - before - asked
            return _result(url, workers, trials, first, connections, committed)
    except pytest.skip.Exception as reason:  # how the tests say that there is no PostgreSQL
        raise TuneError("PostgreSQL", str(reason), "install it") from None


COMMITTED = (
    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
)
CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


def _start(folder: Path, workers: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    for path in (Path(PARAMS), paths.FACES, paths.SOURCE, paths.FEATURES):
        if not path.is_file():
            raise TuneError(str(path), "is missing", "run `dvc repro embed`")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path)
    command = [sys.executable, "-m", "src.tune", "--no-mlflow", "--workers", str(workers)]
    return subprocess.Popen(  # noqa: S603
        [*command, *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def _result(
    url: str, workers: int, trials: int, first: float | None, connections: int, committed: int
) -> Scaling:
    import optuna
    from sqlalchemy import NullPool

    from src.tune.study import FINISHED

    storage = optuna.storages.RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    done = study.get_trials(states=FINISHED)
    begun = [trial.datetime_start for trial in done if trial.datetime_start]
    ended = [trial.datetime_complete for trial in done if trial.datetime_complete]
    seconds = (max(ended) - min(begun)).total_seconds()
    per_minute = 60 * len(done) / seconds
    return Scaling(
        workers=workers,
        seconds=seconds,
        trials=len(done),
        per_minute=per_minute,
        ratio=per_minute / (first or per_minute),
        duplicates=len(done) - len({tuple(sorted(trial.params.items())) for trial in done}),
        lost=trials - len(done),
        connections=connections,
        transactions=committed / len(done),
    )


if __name__ == "__main__":
    cli.run(main)
