"""A made-up project: small random images and metrics of every kind that the report shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from src import paths
from src.config import PARAMS, Experiment, Head, load_params
from src.data.faceset import FaceSet, Split
from src.evaluation.calibration import Calibration
from src.evaluation.metrics import score, wilson
from src.evaluation.predictions import Predictions
from src.evaluation.strangers import Half, Halves
from src.files import write_csv, write_json
from src.report.comparison import Comparison, TrainingSummary, compare_experiments
from src.tracking.record import RunRecord
from tests.shipped import SHIPPED

SUBJECTS = ("ann", "<script>alert(1)</script>", "$x_1$ & co | *b*")
EXPERIMENTS = {
    "Baseline": Experiment(train=("head",), batch_size=8, epochs=4),
    "ModelA": Experiment(train=("head", "conv5_x"), batch_size=8, epochs=2),
    "ModelC": Experiment(train=("all",), batch_size=8, epochs=2),
    "ModelD-256-128-dropout": Experiment(
        train=("head",), head=Head(hidden=(8, 4), dropout=(0.5, 0.5)), batch_size=8, epochs=4
    ),
}
ACCURACY = {"Baseline": 0.5, "ModelA": 0.9, "ModelC": 0.85, "ModelD-256-128-dropout": 0.4}


def faces(
    subjects: tuple[str, ...] = SUBJECTS, train: int = 4, test: int = 20, size: int = 32
) -> FaceSet:
    """`train` training images, one for validation and `test` test images of every subject."""
    each = torch.tensor([Split.train] * train + [Split.val] + [Split.test] * test)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (len(subjects) * len(each), 3, size, size), generator=generator)
    labels = torch.arange(len(subjects)).repeat_interleave(len(each))
    split = each.to(torch.uint8).repeat(len(subjects))
    return FaceSet(images.to(torch.uint8), labels, split, subjects)


def predictions(
    dataset: FaceSet, accuracy: Mapping[str, float] = ACCURACY, seeds: int = 1
) -> Predictions:
    """Logits that are right for about the given share of the test images, with every seed."""
    generator = np.random.default_rng(0)
    rows = dataset.rows(Split.test).numpy()
    labels = dataset.labels.numpy()[rows]
    classes = len(dataset.subjects)
    luck = generator.random(len(rows))  # shared, so that experiments agree on what is easy
    logits = {}
    for name, share in accuracy.items():
        values = generator.normal(0, 0.3, (seeds, len(rows), classes)).astype(np.float32)
        for seed in range(seeds):
            own = luck if not seed else luck + generator.normal(0, 0.05, len(rows))
            answer = np.where(own < share, labels, (labels + 1) % classes)
            values[seed, np.arange(len(rows)), answer] += 3
        logits[name] = values
    return Predictions(logits, labels, rows, dataset.subjects)


def halves(subjects: int = 4, strangers: int = 6, images: int = 5) -> Halves:
    """Scores of known images and strangers, told apart best by `distance` and worst by `energy`."""
    generator = np.random.default_rng(0)
    gaps = {"probability": 1.0, "energy": 0.2, "distance": 3.0}

    def half(first: int) -> Half:
        labels = np.arange(subjects).repeat(images)
        identities = np.arange(first, strangers, 2).repeat(images)
        sizes = len(labels), len(identities)
        known = {name: generator.normal(gap, 1, sizes[0]) for name, gap in gaps.items()}
        others = {name: generator.normal(0, 1, sizes[1]) for name in gaps}
        probabilities = generator.dirichlet(np.ones(subjects), len(labels)).astype(np.float32)
        return Half(known, others, labels, identities, probabilities)

    return Halves(half(0), half(1), torch.zeros(subjects, 8))


def trained(
    val: float,
    trainable: int = 1000,
    epochs: int = 4,
    selected: bool = False,
    seconds: float = 1.0,
    flops: float = 1e9,
    improving: bool = False,
) -> TrainingSummary:
    """Training figures around a validation accuracy."""
    accuracy = wilson(round(100 * val), 100)
    return TrainingSummary(
        epochs=epochs,
        best_epoch=epochs,
        trainable_parameters=trainable,
        train_accuracy=min(1.0, val + 0.05),
        val=accuracy,
        selected=selected,
        seconds=seconds,
        flops=flops,
        improving=improving,
    )


def compare(
    trained: Mapping[str, TrainingSummary],
    made: Predictions,
    experiments: Mapping[str, Experiment] = EXPERIMENTS,
    *,
    published: Mapping[str, float] | None = None,
    study: str | None = None,
) -> Comparison:
    """The rows of `trained`, scored on what was made, each of which trains the blocks it names."""
    rows = {name: experiments[name] for name in trained}
    return compare_experiments(
        rows,
        trained,
        {name: score(made.logits[name], made.labels) for name in rows},
        made,
        unfrozen={
            name: tuple(block for block in each.train if block != "head")
            for name, each in rows.items()
        },
        published=published,
        study=study,
    )


def results(**accuracy: float) -> Comparison:
    """The rows of `EXPERIMENTS`, with the accuracies of `ACCURACY` but for those given."""
    names = {**ACCURACY, **accuracy}
    summaries = {name: trained(share) for name, share in names.items()}
    return compare(summaries, predictions(faces(), names))


def write_project(
    root: Path,
    dataset: FaceSet,
    experiments: Mapping[str, Experiment] = EXPERIMENTS,
    accuracy: Mapping[str, float] = ACCURACY,
    seeds: int = 1,
) -> None:
    """Write everything that the report stage reads, under `root`; paths as in `src.paths`."""
    params = load_params(SHIPPED / PARAMS).model_dump(mode="json")
    params["experiments"] = {
        name: experiment.model_dump(mode="json", exclude_none=True)
        for name, experiment in experiments.items()
    }
    params["data"]["image_size"] = dataset.images.shape[-1]
    write_json(root / PARAMS, params)  # JSON is YAML
    dataset.save(root / paths.FACES)
    (root / paths.CONTACT_SHEET).write_bytes(b"any")
    finding = {
        "kind": "near_duplicate",
        "files": ["train/<b>a.jpg", "test/b.jpg"],
        "note": "1 of 64 bits differ",
        "dropped": [],
    }
    write_json(root / paths.AUDIT, {"findings": [finding]})
    made = predictions(dataset, accuracy, seeds)
    made.save(root / paths.PREDICTIONS)
    scores = {
        name: score(logits, made.labels).as_dict()
        | Calibration.of(logits[0], made.labels, made.temperature(name)).as_dict()
        for name, logits in made.logits.items()
    }
    write_json(root / paths.TEST_METRICS, scores)
    for name, experiment in experiments.items():
        write_training(root, name, experiment, accuracy[name])


def write_lock(root: Path, origin: str, faces_md5: str) -> None:
    """Write a dvc.lock by which DVC packed the faces of this md5 from `origin`."""
    stage = {
        "params": {"params.yaml": {"data": {"origin": origin}}},
        "outs": [{"path": paths.FACES.as_posix(), "md5": faces_md5}],
    }
    write_json(root / "dvc.lock", {"stages": {"dataset": stage}})  # JSON is YAML


def write_training(root: Path, name: str, experiment: Experiment, accuracy: float) -> None:
    """Write the files that training one experiment writes."""
    val = wilson(round(200 * accuracy), 200)
    steps = np.arange(1, experiment.epochs + 1)
    rise = 1 - np.exp(-4 * steps / experiment.epochs)
    wave = 0.02 * np.sin(3 * steps)
    curve = accuracy * rise / rise[-1] + wave * (steps < experiment.epochs)
    figures = {
        "best_epoch": int(curve.argmax()) + 1,
        "epochs": experiment.epochs,
        "selected": experiment.epochs > 1,
        "trainable_parameters": 51_300 if experiment.train == ("head",) else 11_000_000,
        "total_parameters": 11_227_812,
        "train": {"loss": 0.1, "accuracy": min(1.0, accuracy + 0.1)},
        "val": {
            "loss": 0.5,
            "accuracy": val.value,
            "accuracy_low": val.low,
            "accuracy_high": val.high,
            "images": 200,
        },
    }
    write_json(root / paths.train_metrics(name), figures)
    write_csv(
        root / paths.curves(name),
        ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"),
        (
            (step, 1.0, min(1.0, value + 0.1 * rising), 1.0, value, 0.001)
            for step, value, rising in zip(steps, curve, rise, strict=True)
        ),
    )
    moved = {
        "conv1.weight": 0.5 if "all" in experiment.train else 0.0,
        "layer4.0.conv1.weight": 0.0 if experiment.train == ("head",) else 9.8,
        "fc.weight": 26.0,
        "fc.bias": 0.2,
    }
    write_csv(root / paths.weight_change(name), ("parameter", "l2_change"), moved.items())
    record = RunRecord(
        run_id="0" * 32, experiment="test", name=name, started=0,
        ended=1000 * experiment.epochs, params={}, dataset=None,
        tags={"git.commit": "0123456789abcdef", "git.dirty": "true"},
        epochs=(), system=(), finals={}, artifacts=(), model=None,
    )  # fmt: skip
    record.write(root / paths.run_record(name))
