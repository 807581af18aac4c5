"""All that a finished run told MLflow, as one JSON file that DVC can keep.

MLflow's database is not versioned; stage outputs are. When DVC restores a stage's outputs without
running it, this file is what the run is rebuilt from. Paths in it are relative to its own folder;
times are milliseconds since 1970, UTC, as MLflow counts them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from src.errors import TrackingError
from src.files import write_text


class RecordPart(BaseModel):
    """Immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants"
    )


class DatasetVersion(RecordPart):
    """Which packed dataset a run saw, and what that was made from. `md5` is DVC's name for it."""

    name: str
    path: str
    md5: str
    origin: str
    origin_md5: str | None
    images: int
    subjects: int


class MetricPoint(RecordPart):
    """Metrics of one moment."""

    step: int
    time: int
    metrics: dict[str, float]


class ArtifactFile(RecordPart):
    """An artifact: where it lies, and the folder of the run it goes to ("" for the top)."""

    path: str
    folder: str = ""


class ModelFile(RecordPart):
    """A model file and the fingerprint it had."""

    path: str
    md5: str


class RunRecord(RecordPart):
    """A finished run, and the experiment of MLflow's that holds it."""

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

    @property
    def points(self) -> tuple[MetricPoint, ...]:
        """Everything measured: per epoch, of the machine, and at the end."""
        return (
            *self.epochs,
            *self.system,
            MetricPoint(step=0, time=self.ended, metrics=self.finals),
        )

    def write(self, path: Path) -> None:
        """Write atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read what `write` wrote; raises TrackingError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            what = "no such record of a run"
        except (OSError, ValidationError):
            what = "not a record of a run"
        raise TrackingError(str(path), what, "run `dvc pull` or `dvc repro` to have it") from None


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def relative(path: Path, record: Path) -> str:
    """`path` as the record in `record` names it."""
    return Path(os.path.relpath(path, record.parent)).as_posix()
