"""Train one experiment by the cheapest way that is exact.

A frozen backbone under a fixed BatchNorm: heads on features, by this engine or by scikit-learn.
Under `adapt`: heads on features per epoch. Anything else: the loop, from the end of the frozen
prefix where it can be cached.
"""

from __future__ import annotations

import sys

from src.data.faceset import Split
from src.models.imports import without_dynamo
from src.models.network import Network
from src.models.trainable import frozen_prefix, unfreeze
from src.training.adapting import AdaptingFeatures
from src.training.checkpoint import Checkpoint
from src.training.classical import fit_classical
from src.training.features import Features
from src.training.fit import Fit, kept_adapting_features, kept_features, recalibrate_blocks
from src.training.heads import HeadTask, train_heads
from src.training.inputs import Pictures
from src.training.loop import Examples, Plan, train
from src.training.optimizers import trained_blocks
from src.training.prefix import cache_prefix
from src.training.result import Epoch, Fitted, OnEpoch, choose


def fit(work: Fit, on_epoch: OnEpoch, features: Features | None = None) -> Fitted:
    """Train the experiment; `features` are used where they fit it, else made anew."""
    network = work.network()
    trained = trained_blocks(network, work.experiment.train, work.recipe)
    before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
    unfreeze(network, trained, work.recipe.batchnorm)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    repeats = work.recipe.batchnorm != "train" and not work.recipe.augment.random
    if work.experiment.head.kind != "mlp":
        history = _fit_classical(work, network, on_epoch, features)
    elif trained == {"head"} and repeats:
        history = _fit_head(work, network, on_epoch, features)
    else:
        history = _fit_network(work, network, trained, on_epoch)
    parameters = dict(network.named_parameters())
    return Fitted(
        network.state_dict(),
        work.spec(),
        history,
        choose(history, work.recipe.select),
        trained,
        len(work.inventory.faces.rows(Split.val)),
        trainable,
        sum(p.numel() for p in parameters.values()),
        {
            name: (parameters[name].detach() - tensor).norm().item()
            for name, tensor in before.items()
        },
    )


def _fit_head(
    work: Fit, network: Network, on_epoch: OnEpoch, features: Features | None
) -> tuple[Epoch, ...]:
    def report(_task: int, epoch: Epoch) -> bool:
        on_epoch(epoch)
        return True

    source = _feature_source(work, network, features)
    classes = len(work.inventory.faces.subjects)
    (head,) = train_heads([head_task(work)], source, classes, report)
    network.load_state_dict(source.buffers_after(head.chosen.number), strict=False)
    network.head.load_state_dict(head.state)
    return head.history


def _fit_classical(
    work: Fit, network: Network, on_epoch: OnEpoch, features: Features | None
) -> tuple[Epoch, ...]:
    source = _fixed_features(work, features)
    epoch = fit_classical(work.experiment.head.kind, network.head, source, work.params.seed)
    network.load_state_dict(source.buffers, strict=False)
    on_epoch(epoch)
    return (epoch,)


def _feature_source(
    work: Fit, network: Network, features: Features | None
) -> Features | AdaptingFeatures:
    if work.recipe.batchnorm != "adapt":
        return _fixed_features(work, features)
    return kept_adapting_features(work, network)


def _fixed_features(work: Fit, features: Features | None) -> Features:
    suited = features if features and suits(features, work) else kept_features(work, work.scratch)
    return suited.at(work.experiment.features).to(work.compute.device)


def suits(features: Features, work: Fit) -> bool:
    """Whether features are those that `make_features` would make here and now, or more views."""
    return features.key == work.features_key and len(features.values) > int(work.recipe.flip)


def head_task(work: Fit) -> HeadTask:
    """The experiment's head as the batched engine takes it."""
    head, recipe = work.experiment.head, work.recipe
    return HeadTask(
        head.hidden,
        head.rates,
        recipe.model_copy(update={"learning_rate": recipe.head_rate}),
        work.experiment.epochs,
        work.experiment.batch_size,
        work.params.seed,
        work.compute.dtype,
    )


def _fit_network(
    work: Fit, network: Network, trained: frozenset[str], on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    recipe, compute = work.recipe, work.compute
    if recipe.batchnorm == "recalibrate":
        recalibrate_blocks(work, network, frozenset(network.blocks) - trained)
    training, validation = (
        Examples(Pictures(images.to(compute.device), work.spec()), labels.to(compute.device))
        for images, labels in map(work.inventory.faces.part, (Split.train, Split.val))
    )
    stop = frozen_prefix(network, trained, recipe.batchnorm)
    if stop and work.params.engine.cache_prefix and not recipe.augment.random:
        training = _cached(training, network, stop, 2 if recipe.flip else 1, work)
        validation = _cached(validation, network, stop, 1, work)
    plan = Plan(
        recipe, trained, work.experiment.epochs, work.experiment.batch_size, work.params.seed
    )
    checkpoint = checkpoint_of(work, training.inputs.start, validation.inputs.start)
    with without_dynamo():
        history = train(network, plan, training, validation, compute, on_epoch, checkpoint)
    checkpoint.remove()
    return history


def _cached(examples: Examples, network: Network, stop: int, views: int, work: Fit) -> Examples:
    """What the blocks from `stop` on take; the pictures still where there is no room for it.

    Those go through the whole network, unfolded, whose rounding differs: a warning says so.
    """
    params, compute = work.params, work.compute
    share = params.engine.cache_fraction * compute.free_memory()
    budget = min(share, params.engine.cache_limit * 2**30)
    assert isinstance(examples.inputs, Pictures)  # noqa: S101
    cached = cache_prefix(network, stop, examples.inputs, views, compute, int(budget))
    if cached is None:
        what = "neither memory nor disk has room for what is frozen, so every epoch computes it"
        print(f"warning: {work.name}: {what}; results differ in rounding", file=sys.stderr)
        return examples
    return Examples(cached, examples.labels)


def checkpoint_of(work: Fit, *starts: int) -> Checkpoint:
    """Where the experiment's run goes on, if it was run before from the same cached prefixes.

    starts: the blocks that the training and validation inputs go into, 0 where none is cached.
    """
    key = work.key(__name__, work.experiment, work.recipe, work.params.seed, starts)
    return Checkpoint(work.scratch / f"{work.name}.checkpoint", key)
