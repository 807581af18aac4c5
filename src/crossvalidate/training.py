"""Training the network of each fold, by the engine that trains everything else.

Results are kept in the scratch folder under a digest of all that decides them, so that a command
that was stopped trains only what is missing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from src.config import Params
from src.crossvalidate.result import FoldResult
from src.data.faceset import FaceSet, Split
from src.errors import StaleInputError
from src.evaluation.metrics import answers
from src.models.classifier import Classifier
from src.models.network import Network
from src.training.engine import run_seeds
from src.training.features import BlockFeatures, Features
from src.training.job import StartingPoint, TrainingJob, cached_features
from src.training.progress import epochs_bar
from src.training.result import OnEpoch, TrainingResult
from src.training.scratch import optional_write


def train_folds(
    name: str, params: Params, start: StartingPoint, folds: Sequence[FaceSet], scratch: Path
) -> Iterator[tuple[FoldResult, bool]]:
    """Each fold's result for the experiment `name`, and whether it had to be trained now."""
    shared: Features | None = None
    for number, faces in enumerate(folds, 1):
        job = replace(fold_job(name, params, start, faces, scratch), name=f"{name}-fold{number}")
        path = scratch / "folds" / f"{fold_key(job)[:20]}.safetensors"
        if kept := _kept(path):
            yield kept, False
            continue
        if shared is None and _shares_features(job):
            whole = replace(faces, split=torch.full_like(faces.split, Split.train.value))
            shared = cached_features(fold_job(name, params, start, whole, scratch), scratch)
        with epochs_bar(job.name, job.experiment.epochs) as advance:
            result = train_fold(job, advance, shared, path)
        yield result, True


def _kept(path: Path) -> FoldResult | None:
    with suppress(StaleInputError):
        return FoldResult.load(path)
    return None


def fold_job(
    name: str, params: Params, start: StartingPoint, faces: FaceSet, scratch: Path
) -> TrainingJob:
    """The experiment `name` on the images of `start`, split as in `faces`.

    The split is part of the dataset's digest, so that every cache tells the folds apart.
    """
    split = hashlib.sha256(faces.split.numpy().tobytes()).hexdigest()
    digest = f"{start.faces_digest} split {split}"
    return TrainingJob.of(name, params, replace(start, faces=faces, faces_digest=digest), scratch)


def train_fold(
    job: TrainingJob, on_epoch: OnEpoch, shared: Features | None, path: Path
) -> FoldResult:
    """Train a job, predict its test split and keep the result; `shared`: all images' features."""
    started, kept = _milliseconds(), list[FoldResult]()

    def keep(results: Sequence[TrainingResult]) -> None:
        (fitted,) = results
        kept.append(_predicted(job, fitted, started))
        with optional_write(path):
            kept[0].save(path)

    features = shared and _of_fold(shared, job)
    run_seeds(job, (job.seed,), lambda epoch, _seed: on_epoch(epoch), features, keep)
    return kept[0]


def _predicted(job: TrainingJob, fitted: TrainingResult, started: int) -> FoldResult:
    images, labels = job.starting_point.faces.part(Split.test)
    logits = _classifier(job, fitted).logits(images.to(job.compute.device)).cpu()
    return FoldResult(
        logits=logits,
        rows=job.starting_point.faces.rows(Split.test),
        correct=int((answers(logits.numpy()) == labels.numpy()).sum()),
        history=fitted.history,
        chosen=fitted.chosen.number,
        started=started,
        ended=_milliseconds(),
    )


def fold_key(job: TrainingJob) -> str:
    """A digest of all that decides the bits of a fold's result, which has one seed."""
    experiment = job.experiment.model_copy(update={"seeds": None})
    return job.key(__name__, experiment, job.recipe, job.seed, job.params.engine.cache_prefix)


def _shares_features(job: TrainingJob) -> bool:
    """Whether the job trains on features that do not depend on which images it trains on."""
    fixed = job.recipe.batchnorm == "freeze" and not job.recipe.varies_features
    return set(job.experiment.train) == {"head"} and fixed


def _of_fold(shared: Features, job: TrainingJob) -> Features:
    """The part of all images' features that the job trains on and validates with."""
    training, validation = map(job.starting_point.faces.rows, (Split.train, Split.val))
    return replace(
        shared,
        blocks={
            name: BlockFeatures(pooled.values[:, training], pooled.values[:, validation])
            for name, pooled in shared.blocks.items()
        },
        labels=shared.labels[training],
        val_labels=shared.labels[validation],
        provenance=job.provenance(),
        key=job.features_key,
    )


def _classifier(job: TrainingJob, fitted: TrainingResult) -> Classifier:
    network = Network(fitted.spec)
    network.load_state_dict(fitted.state)
    network.eval().to(job.compute.device).to(memory_format=torch.channels_last)
    return Classifier(network, fitted.spec)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
