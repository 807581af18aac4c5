"""Train one experiment, with one or several seeds, by the cheapest exact method.

A frozen backbone under a fixed BatchNorm: heads on features, those of all seeds as one batch, by
this engine, or by scikit-learn. Under `adapt`: heads on features per epoch. Anything else: the
loop, from the end of the frozen prefix where it can be cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from src.models.network import Network
from src.models.trainable import trained_blocks
from src.training.adapting import AdaptingFeatures
from src.training.classical import fit_classical
from src.training.features import Features
from src.training.head_task import HeadTask
from src.training.heads import train_heads
from src.training.job import TrainingJob, cached_adapting_features, cached_features
from src.training.networks import train_networks
from src.training.result import Epoch, OnEpoch, OnSeedEpoch, TrainingResult
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
) -> tuple[TrainingResult, ...]:
    """As `run_job` with each of `seeds` instead of the job's own, to the same bits."""
    jobs = [replace(job, seed=seed) for seed in seeds]
    if job.experiment.head.classical:
        return _fit_classical(jobs, on_epoch, features)
    if _reads_features(job):
        return _train_heads(jobs, on_epoch, features)
    return train_networks(jobs, on_epoch)


def _reads_features(job: TrainingJob) -> bool:
    """Whether the experiment is an MLP head on features that do not depend on it."""
    repeats = job.recipe.batchnorm != "train" and not job.recipe.augment.random
    if not repeats or job.experiment.head.kind != "mlp":
        return False
    with torch.device("meta"):
        network = Network(job.spec())
    return trained_blocks(network, job.experiment.train, job.recipe) == {"head"}


def _train_heads(
    jobs: Sequence[TrainingJob], on_epoch: OnSeedEpoch, features: Features | None
) -> tuple[TrainingResult, ...]:
    """As one batch where all seeds see the same features, else one after another."""
    job, numbers = jobs[0], range(len(jobs))
    alike = job.recipe.batchnorm != "adapt" and job.experiment.start == "source"
    results = []
    for batch in [[*numbers]] if alike else [[number] for number in numbers]:

        def report(task: int, epoch: Epoch, batch: list[int] = batch) -> bool:
            on_epoch(epoch, batch[task])
            return True

        source = _feature_source(jobs[batch[0]], features)
        tasks = [head_task(jobs[number]) for number in batch]
        classes = len(job.starting_point.faces.subjects)
        heads = train_heads(tasks, source, classes, report)
        for number, head in zip(batch, heads, strict=True):
            untrained = Untrained.of(jobs[number])
            buffers = source.buffers_after(head.chosen.number)
            untrained.network.load_state_dict(buffers, strict=False)
            untrained.network.head.load_state_dict(head.state)
            results.append(untrained.result(head.history))
    return tuple(results)


def _fit_classical(
    jobs: Sequence[TrainingJob], on_epoch: OnSeedEpoch, features: Features | None
) -> tuple[TrainingResult, ...]:
    results = []
    for number, job in enumerate(jobs):
        untrained, source = Untrained.of(job), _fixed_features(job, features)
        epoch = fit_classical(job.experiment.head.kind, untrained.network.head, source, job.seed)
        untrained.network.load_state_dict(source.buffers, strict=False)
        on_epoch(epoch, number)
        results.append(untrained.result((epoch,)))
    return tuple(results)


def _feature_source(job: TrainingJob, features: Features | None) -> Features | AdaptingFeatures:
    if job.recipe.batchnorm != "adapt":
        return _fixed_features(job, features)
    return cached_adapting_features(job, job.network())


def _fixed_features(job: TrainingJob, features: Features | None) -> Features:
    suited = (
        features
        if features and features_match(features, job)
        else cached_features(job, job.scratch)
    )
    return suited.at(job.experiment.features).to(job.compute.device)


def features_match(features: Features, job: TrainingJob) -> bool:
    """Whether `features` are what `make_features` would compute here, or those and more views."""
    return features.key == job.features_key and len(features.values) > int(job.recipe.flip)


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
