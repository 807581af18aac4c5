"""A small real project to break: its pipeline, its kills, and all that must hold afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from src.files import digest
from tests.pipeline.repository import CODE, Repository

STAGES = (
    "dataset",
    "weights",
    "embed",
    "train@Head",
    "train@Network",
    "evaluate",
    "register",
    "report",
)
WITHOUT_RUNS = STAGES[:3]  # which rows and a search start from
SCRIPT = str(Path(__file__).with_name("uninterrupted.py"))
TUNE = ("python", "-m", "src.tune")
SHORT = {"batch_size": 8, "epochs": 2}
SMALL = {
    "seeds": 2,
    "data": {"origin": "data/smoke.yaml", "image_size": 32},
    "weights": {"origin": "weights/smoke.yaml"},
    "model": {"backbone": "mobilenet_v3_small", "stem": "standard"},
    "experiments": {
        "Head": {"train": ["head"], "head": {"hidden": [8], "dropout": [0.0]}, **SHORT},
        "Network": {"train": ["head", "features.12"], **SHORT},
    },
    # What a resumed search draws depends on no other trial, so it can be compared.
    "tune": {"trials": 4, "wave": 2, "epochs": 10, "seeds": 2, "sampler": "random"},
    "tracking": {"experiment": "faults", "model": "faults"},
}
FOLDERS = ("data", "metrics", "models", "plots", "runs", "tune")
ENDS = 20  # seconds in which all processes of a killed command end, on a busy machine
VARY = {"seconds_per_epoch", "images_per_second"}  # metrics that are no result
History = dict[tuple[str, str], list[tuple[str, int, float]]]


@dataclass(frozen=True)
class Outcome:
    """What a step leaves: files by their bytes, and how often MLflow has what."""

    files: dict[str, str]
    runs: Counter[tuple[str, str]]  # (name, status), those that ended otherwise apart
    history: History
    models: Counter[str]  # of finished runs, by the names of these
    versions: list[tuple[str, ...]]


class Project(Repository):
    """A repository whose pipeline takes a minute, with commands to break it."""

    @classmethod
    def small(cls, folder: Path) -> Project:
        """A new one."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls.with_pipeline(folder, SMALL)
        assert isinstance(made, Project)
        made.run("python", "-m", "compileall", "-q", *CODE)  # or each copy has to
        return made

    def uninterrupted(self, kept: Path, *stages: str) -> dict[str, float]:
        """Run stages without DVC; their seconds. `kept` gets `before-STAGE` of each and `after`."""
        self.run("env", f"PYTHONPATH={self.folder}", "python", SCRIPT, str(kept), *stages)
        seconds: dict[str, float] = json.loads((kept / "seconds.json").read_bytes())
        return seconds

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def killed(self, seconds: float, how: signal.Signals, *command: str) -> bool:
        """Run a command and kill all its processes after so long; False if it ended before."""
        process = self.start(*command)
        try:
            process.communicate(timeout=seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, how)
        process.communicate()
        limit = time.monotonic() + ENDS
        while left := group(process.pid):
            assert time.monotonic() < limit, f"still running {how.name}: {left}"
            time.sleep(0.02)
        self.remove_empty_list_of_locks()
        return True

    def remove_empty_list_of_locks(self) -> None:
        """As docs/troubleshooting.md says: DVC empties its list of locks before it writes it."""
        locks = self.folder / ".dvc/tmp/rwlock"
        if locks.is_file() and not locks.read_bytes():
            locks.unlink()

    def succeeds(self, *command: str) -> bool:
        """Run a command; whether it succeeds, for it may fail but not crash."""
        process = self.start(*command)
        output, _ = process.communicate()
        assert "Traceback" not in output, output
        return process.returncode == 0

    def copy_to(self, folder: Path) -> None:
        """Copy everything, with the times of files as they are."""
        shutil.copytree(self.folder, folder, symlinks=True)

    def restore(self, folder: Path) -> None:
        """Become the copy in `folder`, at the same place as before."""
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder, symlinks=True)

    def outcome(self) -> Outcome:
        """What there is now; temporaries are files like any other."""
        return Outcome(self.files(), self.runs(), self.history(), self.models(), self.versions())

    def files(self) -> dict[str, str]:
        """Digests of all outputs, but for the records of runs, which hold times and ids.

        DVC's .gitignore files are not among them.
        """
        found = [p for name in FOLDERS for p in (self.folder / name).rglob("*") if p.is_file()]
        found = [path for path in found if path.name != ".gitignore"]
        return {
            str(path.relative_to(self.folder)): "" if path.parent.name == "runs" else digest(path)
            for path in found
        }

    def runs(self) -> Counter[tuple[str, str]]:
        """Runs by name and status, except those that were killed and say so."""
        rows = self.rows("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'")
        return Counter((name, status) for name, status in rows if status != "KILLED")

    def history(self) -> History:
        """Every metric of finished runs, without those that are times and of the machine."""
        found: History = {}
        rows = self.rows(
            "SELECT name, key, step, value FROM metrics JOIN runs USING (run_uuid)"
            " WHERE status = 'FINISHED' AND key NOT LIKE 'system/%' ORDER BY name, key, step"
        )
        for name, key, step, value in rows:
            if key not in VARY:
                found.setdefault((name, key), []).append((key, step, value))
        return found

    def models(self) -> Counter[str]:
        """Logged models of finished runs."""
        rows = self.rows(
            "SELECT runs.name FROM logged_models JOIN runs ON run_uuid = source_run_id"
            " WHERE runs.status = 'FINISHED' AND logged_models.lifecycle_stage = 'active'"
        )
        return Counter(name for (name,) in rows)

    def versions(self) -> list[tuple[str, ...]]:
        """Versions of registered models, and aliases."""
        return self.rows("SELECT name, version FROM model_versions") + self.rows(
            "SELECT name, version, alias FROM registered_model_aliases"
        )

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """Rows of MLflow's database, none before there is one."""
        return self.table(query) if (self.folder / "mlruns/mlflow.db").exists() else []


def group(number: int) -> list[psutil.Process]:
    """The living processes of a process group."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
