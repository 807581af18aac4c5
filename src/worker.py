"""`python -m src.worker`: one of several machines that train the experiments, each of them once.

Each machine has a clone at the same commit and runs the same command; DVC's remote carries data and
results between them, and its run cache the knowledge of what has been trained. What DVC lacks is a
way to say that somebody is at it: that is an advisory lock of a PostgreSQL database. It lasts as
long as the connection of the worker that holds it, so no worker that dies has to be missed first.
DVC runs inside this process: stages end with the DVC that started them, and thus with the worker.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from src import cli
from src.config import PARAMS, load_params, training_stage
from src.errors import StaleInputError, TuneError

if TYPE_CHECKING:
    from sqlalchemy import Engine

AGAIN = "run the same command again: nothing is trained twice"
POLL = 2.0  # seconds between looks for what other workers have finished
BEFORE, AFTER = ("dataset", "weights", "embed"), ("evaluate", "register", "report")  # in this order
# A machine that vanishes says nothing: its connection is given up half a minute later.
KEEPALIVE = {"tcp_keepalives_idle": 15, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
EXAMPLES = """\
  OPTUNA_STORAGE=postgresql://me@host/studies python -m src.worker   # on each machine
  python -m src.worker ModelA ModelB ModelC"""


def main(argv: Sequence[str] | None = None) -> None:
    """Train experiments that no other worker is training, and fetch those that others have trained.

    Run it on each machine, in a clone of the same commit with the same DVC remote. Workers divide
    the experiments between them: each goes to one, which pushes what came of it; the others fetch
    that. At the end every clone has everything, as after `dvc repro`. Claims are kept in the
    PostgreSQL database that OPTUNA_STORAGE names, or `tune.storage` in params.yaml; the experiment
    of a worker that dies is taken over by another.
    """
    parser = cli.parser("src.worker", str(main.__doc__), EXAMPLES)
    what = "experiments of params.yaml; by default all, and the stages after them"
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    names = list(dict.fromkeys(parser.parse_args(argv).names))
    params = load_params()
    for name in names:
        params.experiment(name)
    engine = _database(params.tune.storage)
    check_remote()
    rows = [training_stage(name) for name in names or params.experiments]
    after = () if names else AFTER
    for stages in (*zip(BEFORE), rows, *zip(after)):
        work(engine, stages)


def work(engine: Engine, stages: Sequence[str]) -> None:
    """Bring every stage up to date here, waiting for those that other workers are running."""
    left = list(stages)
    while left:
        claimed = []
        for stage in left:
            with claim(engine, stage) as ours:
                if ours:
                    bring(stage)
                else:
                    claimed.append(stage)
        if claimed == left:
            time.sleep(POLL)
        left = claimed


def bring(stage: str) -> None:
    """Take a stage's outputs from the remote if it has them; run it and push them if not.

    Raises StaleInputError if DVC fails.
    """
    dvc("repro", "--pull", "--allow-missing", stage)
    push_metrics(stage)
    dvc("push", "--run-cache", stage)


def push_metrics(stage: str) -> None:
    """Push outputs that git keeps, without which DVC takes nothing of a stage from the run cache.

    `dvc push --run-cache` pushes only outputs that DVC keeps (3.67). Raises StaleInputError.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from src.tracking.address import reason

    try:
        with Repo() as repo:
            outs = [out for each in repo.stage.collect(stage) for out in each.outs]
            left = repo.cloud.push({out.hash_info for out in outs if not out.use_cache}).failed
    except (DvcException, OSError) as error:
        raise StaleInputError("the remote", reason(error), AGAIN) from None
    if left:
        raise StaleInputError("the remote", f"did not take {len(left)} files", AGAIN)


def dvc(*arguments: str) -> None:
    """Run a command of DVC's in this process; raises StaleInputError if it fails."""
    from dvc.cli import main as run

    if run([*arguments]):
        raise StaleInputError(f"`dvc {' '.join(arguments)}`", "failed", "see above")


def check_remote() -> None:
    """Raise StaleInputError where DVC has no remote by which workers could share anything."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            remote = repo.config["core"].get("remote")
    except DvcException as error:
        raise StaleInputError("DVC", str(error), "run from the project's folder") from None
    if not remote:
        mend = "give all machines the same: `dvc remote add --default NAME URL`"
        raise StaleInputError(".dvc/config", "no default remote, which workers share", mend)


@contextmanager
def claim(engine: Engine, stage: str) -> Iterator[bool]:
    """Whether this worker has the stage for as long as the block; False if another has it.

    A database that is lost meanwhile takes the claim with it, but not what the block does. Raises
    TuneError where it cannot be reached.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from src.tracking.address import reason
    from src.tune.storage import safe_url

    try:
        connection = engine.connect()
        for name, value in KEEPALIVE.items():
            connection.execute(text(f"SET {name} = {value}"))
        query = text("SELECT pg_try_advisory_lock(:key)")
        ours = bool(connection.execute(query, {"key": key(stage)}).scalar())
    except SQLAlchemyError as error:
        what = f"no claim can be made ({reason(error)})"
        mend = "check OPTUNA_STORAGE and the server"
        raise TuneError(safe_url(engine.url), what, mend) from None
    try:
        yield ours
    finally:
        with suppress(SQLAlchemyError):
            connection.close()


def key(stage: str) -> int:
    """The 64-bit number of a stage's lock, the same for workers with the same settings."""
    seen = hashlib.sha256(PARAMS.read_bytes() + b"\0" + stage.encode())
    return int.from_bytes(seen.digest()[:8], "big", signed=True)


def _database(storage: str) -> Engine:
    """The database of claims; raises TuneError unless it is PostgreSQL."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    from src.tune.options import given_storage
    from src.tune.storage import CONNECT_TIMEOUT, no_driver, parse_url, safe_url

    url = parse_url(given_storage(storage))
    if url.get_backend_name() != "postgresql":
        what = "claims need a PostgreSQL database that all workers reach"
        raise TuneError(
            safe_url(url), what, "set OPTUNA_STORAGE to postgresql://USER@HOST/DATABASE"
        )
    try:
        return create_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_TIMEOUT},
        )
    except (ImportError, NoSuchModuleError) as error:
        raise no_driver(url, error) from None


if __name__ == "__main__":
    cli.run(main)
