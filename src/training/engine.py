"""Train one experiment, with one or several seeds, by the cheapest exact method.

A frozen backbone under a fixed BatchNorm: heads on features, by this engine or by scikit-learn.
Under `adapt`: heads on features per epoch. Anything else: the loop, from the end of the frozen
prefix where it can be cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from src.data.faceset import Split
from src.errors import ConfigError, DivergedError
from src.models.network import Network
from src.models.trainable import trained_blocks, training_mode
from src.models.uninitialized import without_values
from src.training.accumulation import draws
from src.training.adapting import AdaptingFeatures
from src.training.classical import classify, fit_classical
from src.training.features import Features
from src.training.head_task import HeadTask
from src.training.heads import FeatureSource, train_heads
from src.training.job import TrainingJob, cached_adapting_features, cached_features
from src.training.networks import train_networks
from src.training.result import Epoch, OnEpoch, OnResults, OnSeedEpoch, TrainingResult, choose
from src.training.untrained import Untrained


def run_job(
    job: TrainingJob, on_epoch: OnEpoch, features: Features | None = None
) -> TrainingResult:
    """Train the experiment; `features` are used if they match it, else recomputed."""
    (result,) = run_seeds(job, (job.seed,), lambda epoch, _number: on_epoch(epoch), features)
    return result


def run_seeds(
    job: TrainingJob,
    seeds: Sequence[int],
    on_epoch: OnSeedEpoch,
    features: Features | None = None,
    on_results: OnResults | None = None,
) -> tuple[TrainingResult, ...]:
    """As `run_job` with each of `seeds` instead of the job's own, to the same bits.

    If `on_results` fails or is killed, the next call with the same arguments resumes from what was
    trained.
    """
    jobs = [replace(job, seed=seed) for seed in seeds]
    if not (job.experiment.head.classical or _reads_features(job)):
        return train_networks(jobs, on_epoch, on_results)
    results = _train_heads(jobs, on_epoch, features)
    if on_results:
        on_results(results)
    return results


def check_ranks(job: TrainingJob) -> None:
    """Raise ConfigError if the job's ranks are several and cannot divide its images."""
    count, entry = job.compute.ranks.count, f"experiments.{job.name}"
    if count == 1:
        return
    if job.experiment.head.classical or _reads_features(job):
        what = "only its head trains, which takes one process seconds"
        raise ConfigError(entry, what, f"run python -m pipelines.train {job.name}")
    if job.recipe.mixup:
        what = "mixes images, which several processes divide"
        raise ConfigError(f"{entry}: recipe", what, "set its mixup to 0, or train with one process")
    network = _described(job)
    trained = trained_blocks(network, job.experiment.train, job.recipe)
    training_mode(network, trained, job.recipe.batchnorm)
    if draws(network.head):
        what = "dropout draws for whole batches, which several processes divide"
        raise ConfigError(f"{entry}.head.dropout", what, "set it to 0, or train with one process")
    if draws(network):
        what = f"blocks of {job.params.model.backbone} that train drop units or layers at random"
        mend = "train others, or train with one process"
        raise ConfigError(f"{entry}.train", f"{what}, for whole batches", mend)
    images = min(len(job.starting_point.faces.rows(split)) for split in (Split.train, Split.val))
    if images < count:
        what = f"{count} processes, and only {images} images in a split"
        raise ConfigError(entry, what, f"start at most {images}")


def _described(job: TrainingJob) -> Network:
    """The job's network without memory for its weights."""
    with without_values():
        return Network(job.spec())


def _reads_features(job: TrainingJob) -> bool:
    """Whether the experiment is an MLP head on features that do not depend on it, nor are mixed."""
    recipe, kind = job.recipe, job.experiment.head.kind
    if recipe.batchnorm == "train" or recipe.varies_features or kind != "mlp":
        return False
    return trained_blocks(_described(job), job.experiment.train, job.recipe) == {"head"}


def _train_heads(
    jobs: Sequence[TrainingJob], on_epoch: OnSeedEpoch, features: Features | None
) -> tuple[TrainingResult, ...]:
    """Train the heads of `jobs`, which differ in their seeds alone.

    One after another: in a batch, products of matrices that are not aligned in memory round in
    another way, so a seed among others would not end in the bits that it has alone. For five heads
    on a processor the batch saves nothing where they have hidden layers (5.2 s in a batch and one
    by one for widths 1024 and 512), and 0.35 s of 0.6 s where they have none.
    """
    results: list[TrainingResult] = []
    for number, job in enumerate(jobs):
        if number == 0 or not job.freezes_alike:
            source = _feature_source(job, features)

        def report(epoch: Epoch, number: int = number) -> None:
            on_epoch(epoch, number)

        untrained = Untrained.of(job)
        if job.experiment.head.classical:
            history = _fit_classical(job, untrained.network.head, source, report)
        else:
            history = _fit_head(job, untrained.network.head, source, report)
        chosen = choose(history, job.recipe.select)
        untrained.network.load_state_dict(source.buffers_after(chosen.number), strict=False)
        results.append(untrained.result(history, _logits(untrained, source, chosen.number)))
    return tuple(results)


@torch.no_grad()
def _logits(untrained: Untrained, source: FeatureSource, epoch: int) -> Tensor:
    """(M, classes) of the validation images, by the head as it is."""
    return classify(untrained.network.head.eval(), source.validation(epoch))


def _fit_head(
    job: TrainingJob, head: nn.Module, source: FeatureSource, on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    """Train `head` in place; returns its history."""

    def report(_task: int, epoch: Epoch) -> bool:
        on_epoch(epoch)
        return True

    classes = len(job.starting_point.faces.subjects)
    (found,) = train_heads([head_task(job)], source, classes, report)
    head.load_state_dict(found.state)
    return found.history


def _fit_classical(
    job: TrainingJob, head: nn.Module, source: FeatureSource, on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    """The same by scikit-learn, in a single epoch."""
    assert isinstance(source, Features)  # noqa: S101  # `_feature_source` gives no others
    if not all(each.isfinite().all() for each in (source.values, source.val_values)):
        where, mend = "features", "run `dvc repro weights`, or choose other weights"
        what = "not finite, so the source weights are not finite or too large"
        raise DivergedError(where, what, mend)
    epoch = fit_classical(job.experiment.head.kind, head, source, job.seed)
    on_epoch(epoch)
    return (epoch,)


def _feature_source(job: TrainingJob, features: Features | None) -> Features | AdaptingFeatures:
    if job.experiment.head.classical or job.recipe.batchnorm != "adapt":
        return _fixed_features(job, features)
    return cached_adapting_features(job, job.network())


def _fixed_features(job: TrainingJob, features: Features | None) -> Features:
    suited = (
        features
        if features and features_match(features, job)
        else cached_features(job, job.scratch)
    )
    chosen = suited.at(job.experiment.features, flip_test=job.recipe.flip_test)
    return chosen.to(job.compute.device)


def features_match(features: Features, job: TrainingJob) -> bool:
    """Whether `features` are what `make_features` would compute here, or those and more views."""
    enough = features.shows(job.recipe.views, job.recipe.answer_views)
    return features.key == job.features_key and enough


def head_task(job: TrainingJob) -> HeadTask:
    """The experiment's head as the batched engine takes it."""
    return HeadTask(
        head=job.experiment.head,
        recipe=job.recipe.model_copy(update={"learning_rate": job.recipe.head_rate}),
        epochs=job.experiment.epochs,
        batch_size=job.experiment.batch_size,
        seed=job.seed,
        dtype=job.compute.dtype,
    )
