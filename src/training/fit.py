"""One experiment from source weights to a fitted network, by the cheapest way that is exact.

A frozen backbone under a fixed BatchNorm: heads on features, by this engine or by scikit-learn.
Under `adapt`: heads on features per epoch. Anything else: the loop, from the end of the frozen
prefix where it can be cached.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from src.config import Experiment, Params, Recipe
from src.data.faceset import FaceSet, Split
from src.files import digest
from src.models.head import initialize_head
from src.models.imports import without_dynamo
from src.models.network import ModelSpec, Network
from src.models.trainable import frozen_prefix, unfreeze
from src.models.weights import SourceWeights, load_source, random_weights
from src.training.adapting import AdaptingFeatures, Passes, adapting_features
from src.training.checkpoint import Checkpoint
from src.training.classical import fit_classical
from src.training.device import Compute, resolve
from src.training.features import Features, Made, embed
from src.training.heads import HeadTask, train_heads
from src.training.inputs import Pictures
from src.training.loop import Examples, Plan, train
from src.training.optimizers import trained_blocks
from src.training.order import stream
from src.training.prefix import cache_prefix, recalibrate
from src.training.result import Epoch, Fitted, OnEpoch, choose


@dataclass(frozen=True)
class Inventory:
    """What an experiment starts from, with the digests of the files it was read from."""

    faces: FaceSet
    source: SourceWeights
    faces_digest: str
    source_digest: str

    @classmethod
    def load(cls, faces: Path, source: Path) -> Inventory:
        """Read packed faces and source weights; raises StaleInputError, WeightsError."""
        return cls(FaceSet.load(faces), SourceWeights.load(source), digest(faces), digest(source))


@dataclass(frozen=True)
class Fit:
    """One experiment, ready to run: `scratch` is a folder for what may be thrown away."""

    inventory: Inventory
    experiment: Experiment
    recipe: Recipe
    params: Params
    compute: Compute
    scratch: Path
    name: str

    @classmethod
    def of(cls, name: str, params: Params, inventory: Inventory, scratch: Path) -> Fit:
        """The experiment `name` of params.yaml, on the device asked for; raises ConfigError."""
        experiment, recipe = params.experiment(name), params.recipe_of(name)
        compute = resolve(params.engine.device, params.engine.precision)
        return cls(inventory, experiment, recipe, params, compute, scratch, name)

    @property
    def source(self) -> SourceWeights:
        """Where the network starts; from scratch, it is fed as its neighbours are."""
        given = self.inventory.source
        if self.experiment.start == "source":
            return given
        drawn = random_weights(self.params.model.backbone, self.params.seed)
        return replace(drawn, mean=given.mean, deviation=given.deviation)

    def spec(self) -> ModelSpec:
        """What the trained network will be."""
        faces, source = self.inventory.faces, self.inventory.source
        spec = ModelSpec(
            self.params.model.backbone,
            self.params.model.stem,
            faces.images.shape[-1],
            faces.subjects,
            self.experiment.head.hidden,
            self.experiment.head.rates,
            crop=self.recipe.augment.input_size,
            last=self.experiment.features,
            kind=self.experiment.head.kind,
            stored=len(faces.rows(Split.train)) if self.experiment.head.kind == "knn" else None,
            fit=self.params.data.fit,
        )
        if not self.recipe.normalize:
            return spec
        return replace(spec, mean=source.mean, deviation=source.deviation)

    def made(self) -> Made:
        """What features for this experiment must have been made from."""
        spec = self.spec()
        return Made(
            self.inventory.faces_digest,
            self.inventory.source_digest if self.experiment.start == "source" else "scratch",
            "recalibrate" if self.recipe.batchnorm == "recalibrate" else "freeze",
            spec.mean,
            spec.deviation,
            spec.backbone,
            spec.stem,
            spec.crop,
        )

    def whole(self) -> Fit:
        """The same of a network that nothing is cut off."""
        return replace(self, experiment=self.experiment.model_copy(update={"features": None}))

    def network(self) -> Network:
        """The network before training, on the device: source weights under a new head."""
        network = Network(self.spec())
        load_source(network, self.source)
        initialize_head(network.head, stream(self.params.seed, 3), self.recipe.head_init)
        return network.to(self.compute.device).to(memory_format=torch.channels_last)


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
    seed, batch_size = work.params.seed, work.experiment.batch_size
    last, flip = work.experiment.features, work.recipe.flip
    key = digest_of(work.made(), last, seed, batch_size, flip, work.compute)
    return adapting_features(
        work.inventory.faces,
        network,
        work.spec(),
        Passes(seed, batch_size, work.experiment.epochs, flip),
        work.compute,
        work.scratch / f"adapting-{key[:20]}.safetensors",
    )


def _fixed_features(work: Fit, features: Features | None) -> Features:
    suited = features if features and _suits(features, work) else kept_features(work, work.scratch)
    return suited.at(work.experiment.features).to(work.compute.device)


def _suits(features: Features, work: Fit) -> bool:
    return features.made == work.made() and len(features.values) > int(work.recipe.flip)


def head_task(work: Fit) -> HeadTask:
    """The experiment's head as the batched engine takes it."""
    head, recipe = work.experiment.head, work.recipe
    rate = recipe.learning_rate * recipe.multipliers.get("head", 1.0)
    return HeadTask(
        head.hidden,
        head.rates,
        recipe.model_copy(update={"learning_rate": rate}),
        work.experiment.epochs,
        work.experiment.batch_size,
        work.params.seed,
        work.compute.dtype,
    )


def kept_features(work: Fit, folder: Path) -> Features:
    """As `make_features`, kept in `folder` for the next that needs the same."""
    key = digest_of(work.made(), work.recipe.flip, work.compute)
    path = folder / f"features-{key[:20]}.safetensors"
    if not path.exists():
        make_features(work).save(path)
    return Features.load(path)


def make_features(work: Fit) -> Features:
    """Every block's features that suit the experiment, flipped ones where its recipe flips."""
    work = work.whole()
    network = work.network()
    if work.recipe.batchnorm == "recalibrate":
        _recalibrate(work, network, frozenset(network.blocks))
    return embed(
        work.inventory.faces, network, work.spec(), work.recipe.flip, work.made(), work.compute
    )


def _recalibrate(work: Fit, network: Network, blocks: frozenset[str]) -> None:
    images, _ = work.inventory.faces.part(Split.train)
    recalibrate(network, blocks, images.to(work.compute.device), work.spec(), work.compute)


def _fit_network(
    work: Fit, network: Network, trained: frozenset[str], on_epoch: OnEpoch
) -> tuple[Epoch, ...]:
    recipe, compute = work.recipe, work.compute
    if recipe.batchnorm == "recalibrate":
        _recalibrate(work, network, frozenset(network.blocks) - trained)
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
    key = digest_of(work.made(), work.experiment, recipe, work.params.seed, compute)
    checkpoint = Checkpoint(work.scratch / f"{work.name}.checkpoint", key)
    with without_dynamo():
        history = train(network, plan, training, validation, compute, on_epoch, checkpoint)
    checkpoint.remove()
    return history


def _cached(examples: Examples, network: Network, stop: int, views: int, work: Fit) -> Examples:
    engine, compute = work.params.engine, work.compute
    budget = min(engine.cache_fraction * compute.free_memory(), engine.cache_limit * 2**30)
    assert isinstance(examples.inputs, Pictures)  # noqa: S101
    cached = cache_prefix(network, stop, examples.inputs, views, compute, int(budget))
    return Examples(cached, examples.labels) if cached else examples


def digest_of(*facts: object) -> str:
    """A digest of what a result is a function of, by the facts' printed form."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()
