"""Everything that a finished run logged to MLflow, as one JSON file that DVC can version.

MLflow's database is not versioned; stage outputs are. When DVC restores a stage's outputs without
running it, the run is rebuilt from this file. Paths in it are relative to its own folder; times are
milliseconds since 1970 UTC, as in MLflow.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from src.errors import TrackingError
from src.files import write_text

RENAMED = {"seconds/epoch": "seconds_per_epoch", "images/second": "images_per_second"}


def _renamed(metrics: object) -> object:
    """Metrics under today's names, for records of earlier releases."""
    if not isinstance(metrics, dict):
        return metrics
    return {RENAMED.get(key, key): value for key, value in metrics.items()}


class RecordPart(BaseModel):
    """Immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants"
    )


class DatasetVersion(RecordPart):
    """The packed dataset of a run, with the md5 that DVC uses, and the origin it was made from."""

    name: str
    path: str
    md5: str
    origin: str
    origin_md5: str | None
    images: int
    subjects: int


class MetricPoint(RecordPart):
    """Metrics with a common step and time."""

    step: int
    time: int
    metrics: Annotated[dict[str, float], BeforeValidator(_renamed)]


class ArtifactFile(RecordPart):
    """A file, and the folder ("" for the root) and name ("" for its own) it has as an artifact."""

    path: str
    folder: str = ""
    name: str = ""

    @property
    def artifact(self) -> str:
        """The path among the run's artifacts."""
        return (Path(self.folder) / (self.name or Path(self.path).name)).as_posix()


class ModelFile(RecordPart):
    """A model file and its md5."""

    path: str
    md5: str


class SeedRun(RecordPart):
    """The child run of one seed; what is not here is as in its parent."""

    run_id: str
    seed: int
    started: int
    ended: int
    epochs: tuple[MetricPoint, ...]
    finals: dict[str, float]

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """All metrics: of the epochs, and of the whole run."""
        return (*self.epochs, MetricPoint(step=0, time=self.ended, metrics=self.finals))


class RunRecord(RecordPart):
    """A finished run, and the MLflow experiment that holds it.

    With several seeds, `epochs` and `finals` are means, and `seeds` has a child run for each.
    """

    run_id: str
    experiment: str
    name: str
    started: int
    ended: int
    params: dict[str, str]
    tags: dict[str, str]
    dataset: DatasetVersion | None
    epochs: tuple[MetricPoint, ...]
    system: tuple[MetricPoint, ...]
    finals: dict[str, float]
    artifacts: tuple[ArtifactFile, ...]
    model: ModelFile | None
    seeds: tuple[SeedRun, ...] = ()
    sent: bool = True  # or the store was not there for all of the run

    @property
    def first_finals(self) -> dict[str, float]:
        """`finals` of the first seed, whose network is in `model`."""
        return self.seeds[0].finals if self.seeds else self.finals

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """All metrics: of the epochs, of the machine, and of the whole run."""
        return (
            *self.epochs,
            *self.system,
            MetricPoint(step=0, time=self.ended, metrics=self.finals),
        )

    @property
    def text(self) -> str:
        """What `write` writes."""
        return self.model_dump_json(indent=1) + "\n"

    def write(self, path: Path) -> None:
        """Write atomically."""
        write_text(path, self.text)

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read what `write` wrote; raises TrackingError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            what = "no such record of a run"
        except (OSError, ValidationError):
            what = "not a record of a run"
        raise TrackingError(str(path), what, "run `dvc pull` or `dvc repro`") from None


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def relative(path: Path, record: Path) -> str:
    """`path` relative to the folder of the record in `record`."""
    return Path(os.path.relpath(path, record.parent)).as_posix()
