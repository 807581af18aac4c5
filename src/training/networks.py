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
from src.models.convolutions import speed_up_answers
from src.models.imports import without_dynamo
from src.models.network import Network
from src.models.trainable import frozen_prefix, phases, unfrozen
from src.training.checkpoint import Checkpoint
from src.training.inputs import Activations, ImageInputs
from src.training.job import TrainingJob, recalibrate_blocks
from src.training.loop import CacheInputs, Examples, Plan, answers, train
from src.training.norms import share_norms
from src.training.prefix import cache_prefix
from src.training.result import Epoch, OnResults, OnSeedEpoch, TrainingResult
from src.training.untrained import Untrained


def train_networks(
    jobs: Sequence[TrainingJob], on_epoch: OnSeedEpoch, on_results: OnResults | None = None
) -> tuple[TrainingResult, ...]:
    """Train the networks of `jobs`, which differ in their seeds alone.

    Checkpoints stay until `on_results` has returned, which may fail to write what it is given.
    """
    results, checkpoints = [], []
    frozen: Frozen | None = None
    for number, job in enumerate(jobs):
        untrained = Untrained.of(job)
        speed_up_answers(untrained.network)
        if frozen is None or not job.freezes_alike:
            frozen = None  # so that its caches make room for the next
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
                frozen.cache(job, untrained.network),
            )
        stop = frozen_prefix(untrained.network, untrained.trained, job.recipe.batchnorm)
        pairs = answers(untrained.network, frozen.validation, job.compute, stop)
        own = torch.cat([logits for logits, _ in pairs])
        logits = job.compute.ranks.in_order(own, len(frozen.validation))
        results.append(untrained.result(history, logits))
    if on_results:
        on_results(tuple(results))
    for checkpoint in checkpoints:
        checkpoint.remove()
    return tuple(results)


@dataclass(frozen=True)
class Frozen:
    """This rank's own images, and what training does not change.

    That is the inputs of the first block that trains, of others where blocks unfreeze one after
    another, and in `statistics` the BatchNorm buffers where the recipe recalibrates them.
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
            recalibrate_blocks(
                job, network, frozenset(network.blocks) - unfrozen(trained, recipe, 1)
            )
            statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
        training = _own(job, Split.train, 1)
        validation = _own(job, Split.val, recipe.answer_views)
        if _caches(job):
            stops = _stops(job, network, trained)
            for stop in stops:
                held = _in_memory(training, validation)
                training = _cached(training, network, stop, recipe.training_views, job, held)
                held = _in_memory(training, validation)
                validation = _cached(validation, network, stop, validation.views, job, held)
            if min(len(training.cached), len(validation.cached)) < len(stops):
                _warn(job)
        return cls(training, validation, statistics)

    def cache(self, job: TrainingJob, network: Network) -> CacheInputs | None:
        """What keeps the outputs of blocks of `network` that have trained and are frozen again."""
        if not _caches(job):
            return None
        held = _in_memory(self.training, self.validation)

        def cached(examples: Examples, stop: int, views: int) -> Examples:
            nonlocal held
            found = _cached(examples, network, stop, views, job, held)
            if found is examples:
                _warn(job)
            held += _in_memory(found) - _in_memory(examples)
            return found

        return cached

    @property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """The blocks that cached training inputs go into, and those of validation inputs."""
        both = (self.training, self.validation)
        return tuple(tuple(each.start for each in examples.cached) for examples in both)


def _caches(job: TrainingJob) -> bool:
    """Whether what is frozen gives the same outputs in every epoch, and these are wanted."""
    return job.params.engine.cache_prefix and not job.recipe.augment.random


def _stops(job: TrainingJob, network: Network, trained: frozenset[str]) -> list[int]:
    """The blocks whose inputs are worth a cache before any trains, from the first on.

    That is the first that trains at all, and the first in a phase that is long enough, if none
    below it has trained in an earlier one.
    """
    lasting = frozen_prefix(network, trained, job.recipe.batchnorm)
    found = phases(network, trained, job.recipe, job.experiment.epochs)
    early = [phase.stop for phase in found if phase.stop == phase.untouched and phase.pays]
    return sorted({stop for stop in (lasting, *early) if stop})


def _own(job: TrainingJob, split: Split, views: int) -> Examples:
    """This rank's images of a split, to be answered by so many views."""
    faces, device = job.starting_point.faces, job.compute.device
    rows = faces.rows(split)
    own = job.compute.ranks.own(rows)
    images = MappedImages(faces.images, own).to(device)
    inputs = ImageInputs(images, job.spec())
    return Examples(inputs, faces.labels[own].to(device), len(rows), views)


def _in_memory(*several: Examples) -> int:
    """Bytes that their caches take, but for those in files."""
    caches = (cache for examples in several for cache in examples.cached)
    return sum(cache.values.nbytes for cache in caches if isinstance(cache, Activations))


def _cached(
    examples: Examples, network: Network, stop: int, views: int, job: TrainingJob, held: int
) -> Examples:
    """The examples with the inputs of block `stop`; as they were if no cache has room for these.

    held: bytes of memory that earlier caches take.
    """
    params, compute = job.params, job.compute
    share = params.engine.cache_fraction * compute.free_memory()
    budget = min(share, params.engine.cache_limit * 2**30 - held)
    cached = cache_prefix(network, stop, examples.before(stop), views, compute, int(budget))
    return examples if cached is None else replace(examples, cached=(*examples.cached, cached))


def _warn(job: TrainingJob) -> None:
    """That every epoch runs what is frozen, unfolded."""
    what = "neither memory nor disk has room for what is frozen, so every epoch computes it"
    print(f"warning: {job.name}: {what}; results differ in rounding", file=sys.stderr)


def checkpoint_of(job: TrainingJob, *starts: tuple[int, ...]) -> Checkpoint:
    """The checkpoint that the job resumes from, if an earlier run left one.

    starts: the blocks that cached training inputs go into, and those of validation inputs.
    """
    experiment = job.experiment.model_copy(update={"seeds": None})
    key = job.key(__name__, experiment, job.recipe, job.seed, starts, _caches(job))
    path = job.scratch / f"{job.name}-seed{job.seed}.checkpoint"
    return Checkpoint(path, key, job.compute.ranks)
