"""Random mishaps to a small pipeline for hours; after each, nothing may be lost or doubled.

`make soak MINUTES=60` runs it. What single tests cannot show is what a mishap leaves for the next.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from src import cli
from src.config import PARAMS, read_yaml
from src.files import write_json
from src.tracking.record import RunRecord
from tests.faults.invariants import Invariants
from tests.faults.project import Project

EXAMPLES = """\
  make soak MINUTES=60
  python -m tests.faults.soak --minutes 10 --seed 7
  python -m tests.faults.soak --steps 20 --seed 7 --folder /tmp/soak"""
# Few values, so that settings are met again: DVC then restores what it has, or trains the same.
CHANGES: dict[str, Sequence[Any]] = {
    "experiments.Head.epochs": (1, 2, 3),
    "experiments.Head.head.hidden": ([8], [4]),
    "experiments.Network.epochs": (1, 2),
    "experiments.Network.batch_size": (8, 16),
}
DATABASE = "mlruns/mlflow.db"
REPRO = ("dvc", "repro")
RECONCILE = ("python", "-m", "src.tracking", "reconcile")


class Soak:
    """A project, and what must stay true of it."""

    def __init__(self, project: Project) -> None:
        self.project, self.all = project, Invariants(project)
        self.draw = random.Random()  # noqa: S311 -- each step has its own
        self.name = "begin"  # of the step
        self.whole = False  # whether the last step left a complete pipeline
        self.seconds = 0.0  # of the longest pipeline
        self.commits: list[str] = []
        self.steps: dict[str, tuple[int, Callable[[], str]]] = {
            "change": (3, self.change),
            "kill": (5, self.kill),
            "commit": (1, self.commit),
            "restore": (2, self.restore),
            "uncache": (1, self.uncache),
            "lose": (2, self.lose),
        }

    def begin(self) -> None:
        """Run the pipeline for the first time."""
        self.complete()
        self.commit()

    def step(self, draw: random.Random) -> tuple[str, str]:
        """Do something at random and check; returns its name and what was done."""
        self.draw = draw
        weights = [weight for weight, _ in self.steps.values()]
        (self.name,) = self.draw.choices([*self.steps], weights)
        said = self.steps[self.name][1]()
        self.all.check_files()
        return self.name, said

    def change(self) -> str:
        """Run the pipeline with a changed setting."""
        command, said = self._changed()
        self.project.run(*command)
        self.complete()
        return said

    def kill(self) -> str:
        """Kill the pipeline at any moment; the next step may find it so."""
        changes = self.whole or self.draw.random() < 0.3
        command, said = self._changed() if changes else (REPRO, "dvc repro")
        how = self.draw.choice((signal.SIGKILL, signal.SIGTERM))
        # Early rather than late, as what is in DVC's cache takes no time.
        after, again = self.seconds * self.draw.random() ** 2, self.draw.random() < 0.6
        killed = self.project.killed(after, how, *command)
        self.whole = False
        self.all.check_files()
        if again:
            self.complete()
        told = f"{how.name} after {after:.1f} s" if killed else f"done within {after:.1f} s"
        return f"{said}: {told}, run again: {again}"

    def commit(self) -> str:
        """Commit what there is."""
        self._complete_if_needed()
        self.project.run("git", "add", "-A")
        self.project.run("git", "commit", "-q", "--allow-empty", "-m", "soak")
        self.commits.append(self.project.run("git", "rev-parse", "HEAD").strip())
        return self.commits[-1][:8]

    def restore(self) -> str:
        """Go back to a commit, with what DVC has of it; the rest is made again."""
        to = self.draw.choice(self.commits)
        self.project.run("git", "checkout", "-q", to, "--", ".")
        restored = self.project.succeeds("dvc", "checkout", "--force")
        self.whole = False
        again = self.draw.random() < 0.7
        if again:
            self.complete()
        return f"to {to[:8]}, all in the cache: {restored}, run again: {again}"

    def uncache(self) -> str:
        """Delete a file of DVC's cache."""
        path = self.draw.choice(self.all.cached())
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()  # DVC 3.67 ends in a TypeError at an empty folder of its run cache
        self.complete()
        return str(path.relative_to(self.project.folder))

    def lose(self) -> str:
        """Lose a run, files of one, or all of MLflow, and reconcile."""
        self._complete_if_needed()
        store = self.project.folder / "mlruns"
        what = self.draw.choice(("run", "run for good", "artifacts", "store"))
        said = what
        if what == "store":
            shutil.rmtree(store)
        elif what == "artifacts":
            path = self.draw.choice(sorted(store.glob("artifacts/**/artifacts")))
            said = f"{what} {path.relative_to(store)}"
            shutil.rmtree(path)
        else:
            record = RunRecord.read(self.draw.choice(self.all.records()))
            said = f"{what} {record.name}"
            (run,) = (run for run in self.all.runs() if run.recorded == record.run_id)
            self._delete(run.run_id, for_good=what == "run for good")
        self.project.run(*RECONCILE)
        self.all.check_store()
        return said

    def complete(self) -> None:
        """Run the pipeline to its end, and check everything."""
        begun = time.monotonic()
        self.project.run(*REPRO)
        self.seconds = max(self.seconds, time.monotonic() - begun)
        self.all.check_complete()
        self.project.run(*RECONCILE)  # as `make ui` does, for what DVC restored
        self.whole = True
        self.all.check_files()
        self.all.check_store()
        self.all.check_bytes()

    def _changed(self) -> tuple[tuple[str, ...], str]:
        """The command for another setting, and in words; the setting is in params.yaml or in it."""
        key, values = self.draw.choice([*CHANGES.items()])
        path = self.project.folder / PARAMS
        params = read_yaml(path)
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        value = self.draw.choice([value for value in values if value != section[last]])
        change = f"{key}={json.dumps(value)}"
        if self.draw.random() < 0.5:
            return ("dvc", "exp", "run", "-S", change), f"dvc exp run -S {change}"
        section[last] = value
        write_json(path, params)
        return REPRO, f"dvc repro with {change}"

    def _complete_if_needed(self) -> None:
        if not self.whole:
            self.complete()

    def _delete(self, run_id: str, *, for_good: bool) -> None:
        """Delete a run as MLflow's pages do, and as `mlflow gc` does."""
        with sqlite3.connect(self.project.folder / DATABASE) as database:
            query = "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?"
            database.execute(query, (run_id,))
        if for_good:
            store = f"sqlite:///{DATABASE}"
            command = ("mlflow", "gc", "--backend-store-uri", store, "--run-ids", run_id)
            self.project.run("env", f"MLFLOW_TRACKING_URI={store}", *command)


def main(argv: Sequence[str] | None = None) -> int:
    """Break a small pipeline at random until the time is over; 1 if something was lost or doubled.

    Makes the project in a temporary folder, which stays there if a check fails.
    """
    arguments = cli.parser("tests.faults.soak", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--minutes", type=float, default=60, help="how long; by default 60")
    arguments.add_argument("--steps", type=int, default=sys.maxsize, help="end after so many steps")
    arguments.add_argument(
        "--seed", type=int, help="of what is drawn; by default another each time"
    )
    arguments.add_argument("--folder", type=Path, help="where to make it; by default temporary")
    given = arguments.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    folder, begun = given.folder or Path(tempfile.mkdtemp(prefix="soak-")), time.monotonic()
    print(f"seed {seed}, in {folder}", flush=True)
    soak = Soak(Project.small(folder / "project"))
    counts = Counter[str]()
    try:
        soak.begin()
        while counts.total() < given.steps and time.monotonic() - begun < 60 * given.minutes:
            # What a step draws depends on no earlier one, so that it is the same next time.
            name, said = soak.step(random.Random(f"{seed} {counts.total() + 1}"))  # noqa: S311
            counts[name] += 1
            after = time.monotonic() - begun
            print(f"{counts.total():4} {after:6.0f} s {name:8} {said}", flush=True)
    except Exception as error:
        print(f"step {counts.total() + 1} ({soak.name}) failed: {type(error).__name__}: {error}")
        again = f"--seed {seed} --steps {counts.total() + 1}"
        print(f"again: python -m tests.faults.soak {again}; the project is in {folder}")
        return 1
    status = Counter(str(s) for (s,) in soak.project.rows("SELECT status FROM runs"))
    print(f"{counts.total()} steps without a fault: {dict(counts)}; runs: {dict(status)}")
    if not given.folder:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    cli.run(main)
