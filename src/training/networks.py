"""Networks trained by the loop, one seed after another, from the end of the frozen prefix.

What is frozen is the same for every seed that starts from the source weights, so it is computed
once. A seed that has finished keeps its checkpoint until the last one has: a killed run trains
none of them again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from src.data.faceset import MappedImages, Split
from src.models.imports import without_dynamo
from src.models.network import Network
from src.models.trainable import frozen_prefix
from src.training.checkpoint import Checkpoint
from src.training.inputs import ImageInputs
from src.training.job import TrainingJob, recalibrate_blocks
from src.training.loop import Examples, Plan, answers, train
from src.training.norms import share_norms
from src.training.prefix import cache_prefix
from src.training.result import Epoch, OnSeedEpoch, TrainingResult
from src.training.untrained import Untrained


def train_networks(
    jobs: Sequence[TrainingJob], on_epoch: OnSeedEpoch
) -> tuple[TrainingResult, ...]:
    """Train the networks of `jobs`, which differ in their seeds alone."""
    results, checkpoints = [], []
    for number, job in enumerate(jobs):
        untrained = Untrained.of(job)
        if number == 0 or not job.freezes_alike:
            frozen = Frozen.of(untrained)
        untrained.network.load_state_dict(frozen.statistics, strict=False)
        share_norms(untrained.network, job.compute.ranks)
        checkpoint = checkpoint_of(job, *frozen.starts)
        checkpoint.keep = number < len(jobs) - 1
        checkpoints.append(checkpoint)

        def report(epoch: Epoch, number: int = number) -> None:
            on_epoch(epoch, number)

        plan = Plan(
            job.recipe,
            untrained.trained,
            job.experiment.epochs,
            job.experiment.batch_size,
            job.seed,
        )
        with without_dynamo():
            history = train(
                untrained.network,
                plan,
                frozen.training,
                frozen.validation,
                job.compute,
                report,
                checkpoint,
            )
        pairs = answers(untrained.network, frozen.validation, job.compute)
        own = torch.cat([logits for logits, _ in pairs])
        logits = job.compute.ranks.in_order(own, len(frozen.validation))
        results.append(untrained.result(history, logits))
    for checkpoint in checkpoints:
        checkpoint.remove()
    return tuple(results)


@dataclass(frozen=True)
class Frozen:
    """What training does not change: the inputs of the first block that trains, and statistics.

    The inputs are those of this rank's own images. `statistics` holds the BatchNorm buffers where
    the recipe recalibrates them, else nothing.
    """

    training: Examples
    validation: Examples
    statistics: Mapping[str, Tensor]

    @classmethod
    def of(cls, untrained: Untrained) -> Frozen:
        """Run what is frozen over the training and validation images."""
        job, network, trained = untrained.job, untrained.network, untrained.trained
        recipe = job.recipe
        statistics = {}
        if recipe.batchnorm == "recalibrate":
            recalibrate_blocks(job, network, frozenset(network.blocks) - trained)
            statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
        training = _own(job, Split.train, 1)
        validation = _own(job, Split.val, recipe.answer_views)
        stop = frozen_prefix(network, trained, recipe.batchnorm)
        if stop and job.params.engine.cache_prefix and not recipe.augment.random:
            training = _cached(training, network, stop, recipe.training_views, job)
            validation = _cached(validation, network, stop, validation.views, job)
        return cls(training, validation, statistics)

    @property
    def starts(self) -> tuple[int, int]:
        """The blocks that the training and validation inputs go into, 0 where none is cached."""
        return self.training.inputs.start, self.validation.inputs.start


def _own(job: TrainingJob, split: Split, views: int) -> Examples:
    """This rank's images of a split, to be answered by so many views."""
    faces, device = job.starting_point.faces, job.compute.device
    rows = faces.rows(split)
    own = job.compute.ranks.own(rows)
    images = MappedImages(faces.images, own).to(device)
    inputs = ImageInputs(images, job.spec())
    return Examples(inputs, faces.labels[own].to(device), len(rows), views)


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
    return replace(examples, inputs=cached)


def checkpoint_of(job: TrainingJob, *starts: int) -> Checkpoint:
    """The checkpoint that the job resumes from, if an earlier run left one.

    starts: the blocks that the training and validation inputs go into, 0 where none is cached.
    """
    experiment = job.experiment.model_copy(update={"seeds": None})
    key = job.key(__name__, experiment, job.recipe, job.seed, starts)
    path = job.scratch / f"{job.name}-seed{job.seed}.checkpoint"
    return Checkpoint(path, key, job.compute.ranks)
