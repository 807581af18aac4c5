"""Many trained networks on the same images, what they have in common computed once.

Experiments that freeze blocks end with the same blocks as they began with, and a comparison is
mostly made of such experiments: of the ten rows, seven share a whole backbone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from src.models.classifier import Classifier
from src.models.network import normalize

BATCH = 128  # as `Classifier.logits`, whose results these equal


@torch.inference_mode()
def shared_logits(
    classifiers: Mapping[str, Classifier], images: Tensor, device: torch.device
) -> dict[str, Tensor]:
    """(N, 3, S, S) uint8 to each classifier's (N, classes) float32 logits, on the CPU."""
    keys = {name: _prefixes(classifier) for name, classifier in classifiers.items()}
    for classifier in classifiers.values():
        classifier.network.to(device)
    # All at once: small results kept between large maps leave holes in memory.
    logits = {
        name: torch.empty(len(images), len(classifier.subjects))
        for name, classifier in classifiers.items()
    }
    console = Console(stderr=True)
    starts = range(0, len(images), BATCH)
    for start in track(starts, "testing", console=console, disable=not console.is_terminal):
        batch = images[start : start + BATCH].to(device)
        outputs: dict[str, Tensor] = {}
        for name, classifier in classifiers.items():
            features = _features(classifier, keys[name], batch, outputs)
            logits[name][start : start + BATCH] = classifier.network.head(features)
    return logits


def _features(
    classifier: Classifier, keys: list[str], batch: Tensor, outputs: dict[str, Tensor]
) -> Tensor:
    """(B, features) of a batch; `outputs` holds that of every prefix that has been run."""
    known = sum(key in outputs for key in keys)
    x = outputs[keys[known - 1]] if known else normalize(batch, classifier.spec)
    for block, key in enumerate(keys[known:], known):
        x = outputs[key] = classifier.network.run(x, block, block + 1)
    return x


def _prefixes(classifier: Classifier) -> list[str]:
    """For each block, a digest of all that decides its output: what is below it, and its state."""
    spec = classifier.spec
    seen = hashlib.sha256(
        repr((spec.backbone, spec.stem, spec.crop, spec.mean, spec.deviation)).encode()
    )
    keys = []
    for index, block in enumerate(classifier.network.blocks, 1):
        if index == len(classifier.network.blocks):
            seen.update(b"pooled")
        for module in classifier.network.block(block):
            for name, tensor in module.state_dict().items():
                if not name.endswith("num_batches_tracked"):  # counts, and enters no output
                    seen.update(tensor.contiguous().numpy())
        keys.append(seen.copy().hexdigest())
    return keys
