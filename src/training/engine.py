"""Train one experiment by the cheapest exact method.

A frozen backbone under a fixed BatchNorm: heads on features, by this engine or by scikit-learn.
Under `adapt`: heads on features per epoch. Anything else: the loop, from the end of the frozen
prefix where it can be cached.
"""

from __future__ import annotations

import sys

from src.data.faceset import Split
from src.models.imports import without_dynamo
from src.models.network import Network
from src.models.trainable import frozen_prefix, trained_blocks, unfreeze
from src.training.adapting import AdaptingFeatures
from src.training.checkpoint import Checkpoint
from src.training.classical import fit_classical
from src.training.features import Features
from src.training.head_task import HeadTask
from src.training.heads import train_heads
from src.training.inputs import ImageInputs
from src.training.job import (
    TrainingJob,
    cached_adapting_features,
    cached_features,
    recalibrate_blocks,
)
from src.training.loop import Examples, Plan, train
from src.training.prefix import cache_prefix
from src.training.result import Epoch, OnEpoch, TrainingResult, choose


def run_job(
    job: TrainingJob, on_epoch: OnEpoch, features: Features | None = None
) -> TrainingResult:
    """Train the experiment; `features` are used if they match it, else recomputed."""
    network = job.network()
    trained = trained_blocks(network, job.experiment.train, job.recipe)
    before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
    unfreeze(network, trained, job.recipe.batchnorm)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    repeats = job.recipe.batchnorm != "train" and not job.recipe.augment.random
    if job.experiment.head.classical:
        history = _train_classical(job, network, on_epoch, features)
    elif trained == {"head"} and repeats and job.experiment.head.kind == "mlp":
        history = _train_head(job, network, on_epoch, features)
    else:
        history = _train_network(job, network, trained, on_epoch)
    parameters = dict(network.named_parameters())
    return TrainingResult(
        network.state_dict(),
        job.spec(),
        history,
        choose(history, job.recipe.select),
        trained,
        len(job.starting_point.faces.rows(Split.val)),
        trainable,
        sum(p.numel() for p in parameters.values()),
        {
            name: (parameters[name].detach() - tensor).norm().item()
            for name, tensor in before.items()
        },
    )


def _train_head(
    job: TrainingJob, network: Network, on_epoch: OnEpoch, features: Features | None
) -> tuple[Epoch, ...]:
    def report(_task: int, epoch: Epoch) -> bool:
        on_epoch(epoch)
        return True

    source = _feature_source(job, network, features)
    classes = len(job.starting_point.faces.subjects)
    (head,) = train_heads([head_task(job)], source, classes, report)
    network.load_state_dict(source.buffers_after(head.chosen.number), strict=False)
    network.head.load_state_dict(head.state)
    return head.history


def _train_classical(
    job: TrainingJob, network: Network, on_epoch: OnEpoch, features: Features | None
) -> tuple[Epoch, ...]:
    source = _fixed_features(job, features)
    epoch = fit_classical(job.experiment.head.kind, network.head, source, job.params.seed)
    network.load_state_dict(source.buffers, strict=False)
    on_epoch(epoch)
    return (epoch,)


def _feature_source(
    job: TrainingJob, network: Network, features: Features | None
) -> Features | AdaptingFeatures:
    if job.recipe.batchnorm != "adapt":
        return _fixed_features(job, features)
    return cached_adapting_features(job, network)


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
        seed=job.params.seed,
        dtype=job.compute.dtype,
    )


def _train_network(
    job: TrainingJob, network: Network, trained: frozenset[str], on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    recipe, compute = job.recipe, job.compute
    if recipe.batchnorm == "recalibrate":
        recalibrate_blocks(job, network, frozenset(network.blocks) - trained)
    training, validation = (
        Examples(ImageInputs(images.to(compute.device), job.spec()), labels.to(compute.device))
        for images, labels in map(job.starting_point.faces.part, (Split.train, Split.val))
    )
    stop = frozen_prefix(network, trained, recipe.batchnorm)
    if stop and job.params.engine.cache_prefix and not recipe.augment.random:
        training = _cached(training, network, stop, 2 if recipe.flip else 1, job)
        validation = _cached(validation, network, stop, 1, job)
    plan = Plan(recipe, trained, job.experiment.epochs, job.experiment.batch_size, job.params.seed)
    checkpoint = checkpoint_of(job, training.inputs.start, validation.inputs.start)
    with without_dynamo():
        history = train(network, plan, training, validation, compute, on_epoch, checkpoint)
    checkpoint.remove()
    return history


def _cached(
    examples: Examples, network: Network, stop: int, views: int, job: TrainingJob
) -> Examples:
    """The cached inputs of the blocks from `stop` on; the images if the cache does not fit.

    Those go through the whole network, unfolded, whose rounding differs: a warning says so.
    """
    params, compute = job.params, job.compute
    share = params.engine.cache_fraction * compute.free_memory()
    budget = min(share, params.engine.cache_limit * 2**30)
    assert isinstance(examples.inputs, ImageInputs)  # noqa: S101
    cached = cache_prefix(network, stop, examples.inputs, views, compute, int(budget))
    if cached is None:
        what = "neither memory nor disk has room for what is frozen, so every epoch computes it"
        print(f"warning: {job.name}: {what}; results differ in rounding", file=sys.stderr)
        return examples
    return Examples(cached, examples.labels)


def checkpoint_of(job: TrainingJob, *starts: int) -> Checkpoint:
    """The checkpoint that the experiment resumes from, if an earlier run left one.

    starts: the blocks that the training and validation inputs go into, 0 where none is cached.
    """
    key = job.key(__name__, job.experiment, job.recipe, job.params.seed, starts)
    return Checkpoint(job.scratch / f"{job.name}.checkpoint", key)
