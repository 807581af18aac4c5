"""What advice goes by: how many images there are, and how near the source network is to them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.advise.transfer import log_me, probe

if TYPE_CHECKING:
    from src.training.fit import Fit

FEW = 100  # training images per class; below it a dataset is small
NEAR = 0.8  # share of the way from chance to perfect that a probe goes on a similar dataset
BATCH = 64


@dataclass(frozen=True)
class Situation:
    """A dataset before a source network. `probes` is accuracy by block, from the image upwards."""

    images: int  # for training
    classes: int
    probes: Mapping[str, float]
    log_me: float  # of the last block's features
    flops_per_second: float  # of this machine, in the pass that made the features

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
        """The block whose features a probe does best on; of equals the highest."""
        return max(reversed(list(self.probes)), key=lambda block: self.probes[block])

    @property
    def skill(self) -> float:
        """How far the last block's probe goes from chance (0) to perfect (1)."""
        chance = 1 / self.classes
        return (self.probes[self.last] - chance) / (1 - chance)

    @property
    def similar(self) -> bool:
        """Whether the source's own features already tell the classes apart."""
        return self.skill >= NEAR


def assess(work: Fit) -> Situation:
    """Run the source network once over the training images and probe every block's output."""
    import numpy as np

    from src.benchmark.floor import block_flops
    from src.data.faceset import Split

    faces, spec = work.inventory.faces, work.spec()
    images, labels = faces.part(Split.train)
    network = work.network().eval()
    started = time.perf_counter()
    features = _pooled(work, network, images)
    seconds = time.perf_counter() - started
    given = labels.numpy()
    flops = sum(block_flops(network, spec.input_size).values()) * len(images)
    return Situation(
        len(images),
        len(np.unique(given)),
        {block: probe(values, given, work.params.seed) for block, values in features.items()},
        log_me(features[network.blocks[-1]], given),
        flops / seconds,
    )


def _pooled(work: Fit, network: Any, images: Any) -> dict[str, Any]:
    """(N, channels) float32 of every block's output, averaged over the picture."""
    import torch
    from torch.nn import functional

    from src.training.prefix import normalized

    spec, compute = work.spec(), work.compute
    found: dict[str, list[Any]] = {block: [] for block in network.blocks}
    with torch.inference_mode(), compute.autocast():
        for part in torch.split(images.to(compute.device), BATCH):
            x = normalized(part, spec)
            for number, block in enumerate(network.blocks):
                x = network.run(x, number, number + 1)
                pooled = x if x.ndim == 2 else functional.adaptive_avg_pool2d(x, 1).flatten(1)
                found[block].append(pooled.float().cpu())
    return {block: torch.cat(parts).numpy() for block, parts in found.items()}
