"""One experiment, ready to run, and the cache of what its frozen network computes.

The training itself is in `src.training.engine`: nothing here depends on it, so that the
cache in the scratch folder outlives a change of it.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from src.closure import code_digest
from src.config import Experiment, Params, Recipe
from src.data.faceset import FaceSet, Split
from src.errors import StaleInputError
from src.files import digest
from src.models.head import initialize_head
from src.models.network import ModelSpec, Network
from src.models.uninitialized import Uninitialized
from src.models.weights import SourceWeights, load_source, random_weights
from src.training.adapting import AdaptingFeatures, BatchSchedule, adapting_features
from src.training.device import Compute, resolve
from src.training.features import FeatureProvenance, Features, embed
from src.training.fingerprint import Fingerprint
from src.training.order import Purpose, stream
from src.training.prefix import recalibrate
from src.training.scratch import optional_write


@dataclass(frozen=True)
class StartingPoint:
    """What an experiment starts from, with the digests of the files it was read from."""

    faces: FaceSet
    source: SourceWeights
    faces_digest: str
    source_digest: str

    @classmethod
    def load(cls, faces: Path, source: Path) -> StartingPoint:
        """Read packed faces and source weights; raises StaleInputError, WeightsError."""
        return cls(FaceSet.load(faces), SourceWeights.load(source), digest(faces), digest(source))


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One experiment, ready to run: `scratch` is a folder for what can be recomputed.

    `seed` is that of the training: initial weights, order, dropout, flips and crops.
    """

    starting_point: StartingPoint
    experiment: Experiment
    recipe: Recipe
    params: Params
    compute: Compute
    scratch: Path
    name: str
    seed: int

    @classmethod
    def of(
        cls,
        name: str,
        params: Params,
        starting_point: StartingPoint,
        scratch: Path,
        *,
        seed: int | None = None,
        experiment: Experiment | None = None,
        compute: Compute | None = None,
    ) -> TrainingJob:
        """The experiment `name` of params.yaml, or `experiment` under that name.

        With the seed and on the device that params.yaml asks for, unless `seed` or `compute` is
        given. Raises ConfigError.
        """
        experiment = experiment or params.experiment(name)
        return cls(
            starting_point=starting_point,
            experiment=experiment,
            recipe=experiment.adapted(params.recipes[experiment.recipe or params.recipe]),
            params=params,
            compute=compute or resolve(params.engine.device, params.engine.precision),
            scratch=scratch,
            name=name,
            seed=params.seed if seed is None else seed,
        )

    @property
    def selects_epoch(self) -> bool:
        """Whether accuracy on the validation images decides which epoch's weights are kept."""
        by_accuracy = self.recipe.select == "best" or self.recipe.patience > 0
        return by_accuracy and self.experiment.epochs > 1

    @property
    def freezes_alike(self) -> bool:
        """Whether what is frozen gives the same outputs whatever the seed."""
        return self.experiment.start == "source" and self.recipe.batchnorm != "adapt"

    @property
    def source(self) -> SourceWeights:
        """The weights that the network starts from; random ones keep the source's normalisation."""
        given = self.starting_point.source
        if self.experiment.start == "source":
            return given
        drawn = random_weights(self.params.model.backbone, self.seed)
        return replace(drawn, mean=given.mean, deviation=given.deviation)

    def spec(self) -> ModelSpec:
        """The specification of the trained network."""
        faces, source = self.starting_point.faces, self.starting_point.source
        spec = ModelSpec(
            backbone=self.params.model.backbone,
            stem=self.params.model.stem,
            image_size=faces.images.shape[-1],
            subjects=faces.subjects,
            head=self.experiment.head,
            crop=self.recipe.augment.input_size,
            last=self.experiment.features,
            stored=len(faces.rows(Split.train)) if self.experiment.head.keeps_features else None,
            fit=self.params.data.fit,
            flip_test=self.recipe.flip_test,
        )
        if not self.recipe.normalize:
            return spec
        return replace(spec, mean=source.mean, deviation=source.deviation)

    def provenance(self) -> FeatureProvenance:
        """What features for this experiment must have been computed from."""
        spec = self.spec()
        drawn = f"scratch, seed {self.seed}"
        return FeatureProvenance(
            self.starting_point.faces_digest,
            self.starting_point.source_digest if self.experiment.start == "source" else drawn,
            "recalibrate" if self.recipe.batchnorm == "recalibrate" else "freeze",
            spec.mean,
            spec.deviation,
            spec.backbone,
            spec.stem,
            str(self.compute.dtype).removeprefix("torch."),
            spec.crop,
        )

    def key(self, module: str, *facts: object) -> str:
        """A digest of all that decides the bits of what `module` computes from this start.

        That is the module's code, the machine, the data, the source, and `facts` by their printed
        form.
        """
        known = (code_digest(module), Fingerprint.of(self.compute), self.provenance(), facts)
        return hashlib.sha256(repr(known).encode()).hexdigest()

    @property
    def features_key(self) -> str:
        """The key of the frozen features that the experiment reads, flips aside."""
        return self.key(__name__)

    def uncut(self) -> TrainingJob:
        """The same job with every block, whichever block the head reads."""
        return replace(self, experiment=self.experiment.model_copy(update={"features": None}))

    def network(self) -> Network:
        """The network before training, on the device: source weights under a new head."""
        with Uninitialized():
            network = Network(self.spec())
        load_source(network, self.source)
        initialize_head(network.head, stream(Purpose.head, self.seed), self.recipe.head_init)
        return network.to(self.compute.device).to(memory_format=torch.channels_last)


def cached_features(job: TrainingJob, folder: Path) -> Features:
    """As `make_features`, cached in `folder` for later jobs that need the same."""
    views = f"{job.recipe.views}-{job.recipe.answer_views}"
    path = folder / f"features-{job.features_key[:20]}-{views}.safetensors"
    with suppress(StaleInputError):
        return Features.load(path)
    features = make_features(job)
    with optional_write(path):
        features.save(path)
    return features


def make_features(job: TrainingJob) -> Features:
    """Features of every block for the experiment, of as many views as its recipe needs."""
    job = job.uncut()
    network = job.network()
    if job.recipe.batchnorm == "recalibrate":
        recalibrate_blocks(job, network, frozenset(network.blocks))
    return embed(
        job.starting_point.faces,
        network,
        job.spec(),
        job.recipe.views,
        job.recipe.answer_views,
        job.provenance(),
        job.features_key,
        job.compute,
    )


def recalibrate_blocks(job: TrainingJob, network: Network, blocks: frozenset[str]) -> None:
    """Re-estimate the BatchNorm statistics of `blocks` on the experiment's training images."""
    images, _ = job.starting_point.faces.mapped(Split.train)
    recalibrate(network, blocks, images.to(job.compute.device), job.spec(), job.compute)


def cached_adapting_features(job: TrainingJob, network: Network) -> AdaptingFeatures:
    """The features per epoch of `network`, cached in the scratch folder and extended there."""
    seed, batch_size = job.seed, job.experiment.batch_size
    last, flip, flip_test = job.experiment.features, job.recipe.flip, job.recipe.flip_test
    key = job.key(__name__, last, seed, batch_size, flip, flip_test)
    return adapting_features(
        job.starting_point.faces,
        network,
        job.spec(),
        BatchSchedule(seed, batch_size, job.experiment.epochs, flip),
        job.compute,
        job.scratch / f"adapting-{key[:20]}.safetensors",
    )
