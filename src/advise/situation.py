"""What the advice depends on: the number of images, and their similarity to the source's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.advise.transfer import log_me, probe
from src.errors import OriginError
from src.progress import tracked, working

if TYPE_CHECKING:
    from src.training.job import TrainingJob

FEW = 100  # training images per class; below it a dataset is small
NEAR = 0.8  # a dataset is similar if its probe goes this far from chance (0) to perfect (1)


@dataclass(frozen=True)
class Situation:
    """A dataset seen by a source network; `probes` are accuracies by block, the lowest first."""

    images: int  # training images
    classes: int
    probes: Mapping[str, float]
    log_me: float  # of the last block's features
    flops_per_second: float  # of this machine, while the features were made

    @property
    def small(self) -> bool:
        """Whether there are few training images per class."""
        return self.images / self.classes < FEW

    @property
    def last(self) -> str:
        """The block below the head."""
        return list(self.probes)[-1]

    @property
    def best_block(self) -> str:
        """The block with the best probe; of several, the highest."""
        return max(reversed(list(self.probes)), key=lambda block: self.probes[block])

    @property
    def skill(self) -> float:
        """How far the last block's probe goes from chance (0) to perfect (1)."""
        chance = 1 / self.classes
        return (self.probes[self.last] - chance) / (1 - chance)

    @property
    def similar(self) -> bool:
        """Whether the source network's features already tell the classes apart."""
        return self.skill >= NEAR


def assess(job: TrainingJob) -> Situation:
    """Run the source network once, as the `embed` stage does, and probe every block's output.

    Raises OriginError where no subject has two training images.
    """
    from src.models.flops import forward_flops
    from src.training.job import make_features

    faces = job.starting_point.faces
    counts = faces.training_labels.bincount()
    if counts.max() < 2 or (len(counts) == 2 and counts.min() < 2):
        lacks = "no subject has" if counts.max() < 2 else "one of two subjects does not have"
        what = f"{lacks} two training images, so none can be held out to probe with"
        raise OriginError(job.params.data.origin, what, "give each at least two beside the others")
    started = time.perf_counter()
    with working("running the source network, which takes as long as `embed`"):
        features = make_features(job)
    seconds = time.perf_counter() - started
    labels = features.labels.cpu().numpy()
    blocks = {name: each.values[0].cpu().numpy() for name, each in features.blocks.items()}
    passes = features.values.shape[:2].numel()
    passes += job.recipe.answer_views * len(features.val_labels)
    flops = forward_flops(job.network().cpu(), job.spec().input_size) * passes
    return Situation(
        len(labels),
        len(set(labels.tolist())),
        {
            block: probe(values, labels, job.params.seed)
            for block, values in tracked(blocks.items(), "probing blocks", len(blocks))
        },
        log_me(next(reversed(blocks.values())), labels),
        flops / seconds,
    )
