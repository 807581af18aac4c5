"""The outputs of earlier stages that the report shows, read into one object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src import paths
from src.config import PARAMS, Params, read_yaml
from src.config.presets import STUDY
from src.data.audit import AuditFinding
from src.data.faceset import FaceSet, Split
from src.errors import StaleInputError
from src.evaluation import published
from src.evaluation.calibration import Calibration
from src.evaluation.metrics import Proportion, Score
from src.evaluation.predictions import Predictions
from src.files import digest, read_rows
from src.models.backbones import BACKBONES
from src.report.comparison import (
    Comparison,
    TrainingMetrics,
    TrainingSummary,
    compare_experiments,
)
from src.report.cost import training_flops
from src.report.curves import LearningCurve
from src.report.images import read_figure
from src.report.layers import by_layer
from src.report.unfrozen import unfrozen_blocks
from src.tracking.record import RunRecord


@dataclass(frozen=True)
class ReportInputs:
    """Everything that the report is made from; mappings have a key for each experiment.

    weight_changes: layer to the L2 norm of its change. unfrozen: the blocks below its head that
    each trains. commits: what trained the experiments. study: the literature study's name.
    """

    params: Params
    faces: FaceSet
    faces_md5: str
    predictions: Predictions
    training: Mapping[str, TrainingSummary]
    curves: Mapping[str, LearningCurve]
    scores: Mapping[str, Score]
    calibrations: Mapping[str, Calibration]
    weight_changes: Mapping[str, Mapping[str, float]]
    unfrozen: Mapping[str, tuple[str, ...]]
    findings: tuple[AuditFinding, ...]
    contact_sheet: bytes
    commits: tuple[str, ...]
    records: Mapping[str, RunRecord]
    unknown: Mapping[str, Any]  # metrics/unknown.json; empty where it is missing
    study: str | None

    @classmethod
    def load(cls, params: Params) -> ReportInputs:
        """Read the files; raises StaleInputError for what is missing, broken or not of one run."""
        faces, predictions = FaceSet.load(paths.FACES), Predictions.load(paths.PREDICTIONS)
        records = {name: RunRecord.read(paths.run_record(name)) for name in params.experiments}
        _check_current(faces, predictions, records)
        trained = {name: _read_training(paths.train_metrics(name)) for name in params.experiments}
        curves = {
            name: LearningCurve.of(read_rows(paths.curves(name)), each.best_epoch)
            for name, each in trained.items()
        }
        scores, calibrations = _read_scores(params)
        flops = training_flops(params, faces, {name: each.epochs for name, each in trained.items()})
        return cls(
            params=params,
            faces=faces,
            faces_md5=digest(paths.FACES),
            predictions=predictions,
            training={
                name: TrainingSummary(
                    **vars(each),
                    seconds=_seconds(records[name]),
                    flops=flops[name],
                    improving=curves[name].improving,
                )
                for name, each in trained.items()
            },
            curves=curves,
            scores=scores,
            calibrations=calibrations,
            weight_changes={name: _read_changes(name, params) for name in params.experiments},
            unfrozen=unfrozen_blocks(params),
            findings=_read_findings(),
            contact_sheet=read_figure(paths.CONTACT_SHEET),
            commits=tuple(sorted({commit(record) for record in records.values()})),
            records=records,
            unknown=_read_json(paths.UNKNOWN_METRICS) if paths.UNKNOWN_METRICS.exists() else {},
            study=_read_study(),
        )

    @property
    def images(self) -> Mapping[str, int]:
        """Split to the number of its images."""
        return {split.name: len(self.faces.rows(split)) for split in Split}

    def compare(self) -> Comparison:
        """Compare the experiments, with the published figures or those of the literature study."""
        study = self.params.study
        return compare_experiments(
            self.params.experiments,
            self.training,
            self.scores,
            self.predictions,
            unfrozen=self.unfrozen,
            published=study.published if study else published.accuracies(),
            study=self.study,
        )


def _check_current(
    faces: FaceSet, predictions: Predictions, records: Mapping[str, RunRecord]
) -> None:
    """Raise StaleInputError if images or networks have changed since they were evaluated."""
    predictions.check_are_of(faces)
    for name, record in records.items():
        path = paths.evaluated_model(name)
        evaluated = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        if record.model and evaluated != record.model.md5:
            what = f"not of today's network of {name}"
            raise StaleInputError(str(path), what, "run `dvc repro evaluate`")


def _read_study() -> str | None:
    """The literature study that params.yaml names; none where it has its content instead."""
    name = read_yaml(PARAMS).get(STUDY)
    return name if isinstance(name, str) else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StaleInputError(str(path), "missing or broken", "run `dvc repro`") from None


@contextmanager
def _of_this_version(path: Path) -> Iterator[None]:
    """Inside the block, what the file's content lacks is a StaleInputError about it."""
    try:
        yield
    except (KeyError, TypeError) as error:
        what = f"its content is not that of this version ({error})"
        raise StaleInputError(str(path), what, "run `dvc repro`") from None


def _read_training(path: Path) -> TrainingMetrics:
    metrics = _read_json(path)
    with _of_this_version(path):
        val = metrics["val"]
        return TrainingMetrics(
            epochs=metrics["epochs"],
            best_epoch=metrics["best_epoch"],
            trainable_parameters=metrics["trainable_parameters"],
            train_accuracy=metrics["train"]["accuracy"],
            val=Proportion(val["accuracy"], val["accuracy_low"], val["accuracy_high"]),
            selected=metrics["selected"],
        )


def _read_findings() -> tuple[AuditFinding, ...]:
    audit = _read_json(paths.AUDIT)
    with _of_this_version(paths.AUDIT):
        return tuple(
            AuditFinding(
                each["kind"],
                tuple(each["files"]),
                each["note"],
                tuple(each["dropped"]),
                each.get("count", 1),
            )
            for each in audit["findings"]
        )


def _seconds(record: RunRecord) -> float:
    """Of one seed, from the start of the run to its end.

    At least those of the epochs: a run that resumed has started after some of them.
    """
    runs = record.seeds or (record,)
    epochs = sum(epoch.metrics["seconds_per_epoch"] for run in runs for epoch in run.epochs)
    return max((record.ended - record.started) / 1000, epochs) / len(runs)


def _read_scores(params: Params) -> tuple[dict[str, Score], dict[str, Calibration]]:
    metrics = _read_json(paths.TEST_METRICS)
    with _of_this_version(paths.TEST_METRICS):
        if missing := [name for name in params.experiments if name not in metrics]:
            what = f"has no figures of {', '.join(missing)}"
            raise StaleInputError(str(paths.TEST_METRICS), what, "run `dvc repro evaluate`")
        scores = {name: Score.read(metrics[name]) for name in params.experiments}
        return scores, {name: Calibration.read(metrics[name]) for name in params.experiments}


def _read_changes(name: str, params: Params) -> dict[str, float]:
    rows = read_rows(paths.weight_change(name))
    norms = {row["parameter"]: float(row["l2_change"]) for row in rows}
    return by_layer(norms, BACKBONES[params.model.backbone])


def commit(record: RunRecord) -> str:
    """The commit that trained an experiment, in short."""
    tags = record.tags
    dirty = " with uncommitted changes" if tags.get("git.dirty") == "true" else ""
    return f"{tags.get('git.commit', 'unknown')[:12]}{dirty}"
