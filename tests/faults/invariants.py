"""What must be true of a small project, whatever befell it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from src import paths
from src.config import PARAMS, read_yaml
from src.files import digest
from src.tracking.reconcile import FROM
from src.tracking.record import RunRecord
from tests.faults.project import FOLDERS, Project

RUNS = f"""
    SELECT runs.run_uuid, name, status, artifact_uri, origin.value, parent.value FROM runs
    LEFT JOIN tags origin ON origin.run_uuid = runs.run_uuid AND origin.key = '{FROM}'
    LEFT JOIN tags parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId'
    WHERE lifecycle_stage = 'active'"""  # noqa: S608 -- a constant
MODELS = (
    "SELECT source_run_id, artifact_location FROM logged_models WHERE lifecycle_stage = 'active'"
)
CHAMPIONS = "SELECT version FROM registered_model_aliases WHERE alias = 'champion'"


@dataclass(frozen=True)
class Run:
    """A row of MLflow's; origin: the recorded run that it was rebuilt from, if it was."""

    run_id: str
    name: str
    status: str
    artifacts: str
    origin: str | None
    parent: str | None

    @property
    def recorded(self) -> str:
        """The id in the record."""
        return self.origin or self.run_id


@dataclass
class Invariants:
    """Checks that raise AssertionError, and what they remember of earlier ones."""

    project: Project
    recorded: set[str] = field(default_factory=set)  # ids of runs and seeds, now or earlier
    bytes: dict[str, dict[str, str]] = field(default_factory=dict)  # of outputs, by settings

    def check_files(self) -> None:
        """No temporaries, and all JSON valid, however a command ended."""
        for name in (*FOLDERS, "reports"):
            for path in (self.project.folder / name).rglob("*"):
                hidden = path.name.startswith(".") and path.name != ".gitignore"
                assert not hidden and path.suffix != ".tmp", f"temporary {path}"
                if path.suffix == ".json":
                    assert valid(path), f"not JSON: {path}"

    def check_complete(self) -> None:
        """DVC has nothing to do, and git knows every file."""
        status = self.project.run("dvc", "status")
        assert "up to date" in status, f"dvc status: {status}"
        left = self.project.run("git", "ls-files", "--others", "--exclude-standard").split()
        made = (".gitignore", "dvc.lock")  # by DVC, as are metrics until they are committed
        unknown = [p for p in left if not p.startswith("metrics/") and not p.endswith(made)]
        assert not unknown, f"left over: {unknown}"

    def check_store(self) -> None:
        """No run without a process, and one with its files for each record, now and earlier."""
        runs = self.runs()
        running = [run.name for run in runs if run.status == "RUNNING"]
        assert not running, f"running without a process: {running}"
        finished = [run for run in runs if run.status == "FINISHED"]
        counts = Counter(run.recorded for run in finished)
        assert max(counts.values(), default=1) == 1, f"doubled: {counts.most_common(3)}"

        by_record = {run.recorded: run for run in finished}
        models = self.project.rows(MODELS)
        locations = {run_id: location for run_id, location in models}  # noqa: C416 -- for mypy
        for path in self.records():
            record = RunRecord.read(path)
            lost = set(ids(record)) - set(by_record)
            assert not lost, f"{path.name}: lost {lost}"
            run = by_record[record.run_id]
            logged = [f"{run.artifacts}/{file.artifact}" for file in record.artifacts]
            if run.run_id in locations:
                logged.append(f"{locations[run.run_id]}/MLmodel")
            lost |= {path for path in logged if not self._file(path).is_file()}
            assert not lost, f"{path.name}: lost {lost}"

        self.recorded |= set(self._recorded(finished))
        unrecorded = [run.name for run in finished if run.recorded not in self.recorded]
        assert not unrecorded, f"finished, but there is no record: {unrecorded}"
        logged_by = Counter(run_id for run_id, _ in models)
        doubled = [run.name for run in finished if logged_by[run.run_id] > 1]
        without = [run.name for run in finished if not (logged_by[run.run_id] or run.parent)]
        assert not doubled + without, f"models: doubled {doubled}, without {without}"
        champions = self.project.rows(CHAMPIONS)
        assert len(champions) == 1, f"champions: {champions}"
        versions = self.project.rows("SELECT run_id FROM model_versions")
        assert len(versions) == len(set(versions)), f"versions: {versions}"

    def check_bytes(self) -> None:
        """The same settings give the bytes that they gave at first."""
        params = read_yaml(self.project.folder / PARAMS)
        shared = {k: v for k, v in params.items() if k not in ("experiments", "tracking")}
        for name, experiment in params["experiments"].items():
            outputs = (paths.model(name), paths.seed_models(name), paths.curves(name))
            key = json.dumps([name, shared, experiment], sort_keys=True)
            now = {str(path): digest(self.project.folder / path) for path in outputs}
            first = self.bytes.setdefault(key, now)
            assert now == first, f"other bytes for {key}: {now}, at first {first}"

    def runs(self) -> list[Run]:
        """All that are not deleted."""
        return [Run(*row) for row in self.project.rows(RUNS)]

    def records(self) -> list[Path]:
        """Of the experiments as they are now."""
        return sorted(self.project.folder.glob(str(paths.run_record("*"))))

    def cached(self) -> list[Path]:
        """The files of DVC's cache."""
        found = (self.project.folder / ".dvc/cache").rglob("*")
        return sorted(path for path in found if path.is_file())

    def _file(self, uri: str) -> Path:
        return self.project.folder / uri.removeprefix("file://")

    def _recorded(self, finished: list[Run]) -> Iterator[str]:
        """Ids of runs and seeds whose records are here or in DVC's cache.

        Of a run that ended before a kill, too: a note has it until the next training.
        """
        for path in (*self.records(), *self.cached()):
            if path.stat().st_size < 10**6 and b'"run_id"' in (content := path.read_bytes()):
                yield from ids(RunRecord.model_validate_json(content))
        for note in (self.project.folder / paths.SCRATCH / "finished").glob("*.json"):
            run_id = json.loads(note.read_bytes())["run_id"]
            yield from (r.recorded for r in finished if run_id in (r.run_id, r.parent))


def ids(record: RunRecord) -> list[str]:
    """Of a run and of its children."""
    return [record.run_id, *(seed.run_id for seed in record.seeds)]


def valid(path: Path) -> bool:
    """Whether a file is JSON."""
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True
