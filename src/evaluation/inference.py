"""Logits of several networks for the same images; what they share is computed once.

Experiments that freeze blocks end with the blocks they started from, and most experiments do: of
the ten in the default comparison, seven share a whole backbone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from src.models.classifier import Classifier
from src.models.network import normalize
from src.progress import tracked

BATCH = 128  # as in `Classifier.logits`, to get the same logits


@torch.inference_mode()
def shared_logits(
    classifiers: Mapping[str, Classifier], images: Tensor, device: torch.device
) -> dict[str, Tensor]:
    """Each classifier's (N, classes) float32 logits, on the CPU, of (N, 3, S, S) uint8 images."""
    keys = {name: _prefixes(classifier) for name, classifier in classifiers.items()}
    for classifier in classifiers.values():
        classifier.network.to(device)
    # Allocated at once: small results among large activations would fragment memory.
    logits = {
        name: torch.empty(len(images), len(classifier.subjects))
        for name, classifier in classifiers.items()
    }
    starts = range(0, len(images), BATCH)
    for start in tracked(starts, "testing"):
        batch = images[start : start + BATCH].to(device)
        outputs: dict[str, Tensor] = {}
        for name, classifier in classifiers.items():
            features = _features(classifier, keys[name], batch, outputs)
            logits[name][start : start + BATCH] = classifier.network.head(features)
    return logits


def _features(
    classifier: Classifier, keys: list[str], batch: Tensor, outputs: dict[str, Tensor]
) -> Tensor:
    """(B, features) of a batch; `outputs` holds the output of every prefix computed so far."""
    known = sum(key in outputs for key in keys)
    x = outputs[keys[known - 1]] if known else normalize(batch, classifier.spec)
    for block, key in enumerate(keys[known:], known):
        x = outputs[key] = classifier.network.run(x, block, block + 1)
    return x


def _prefixes(classifier: Classifier) -> list[str]:
    """For each block, a digest of everything that its output depends on."""
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
                if not name.endswith("num_batches_tracked"):  # a counter that no output depends on
                    seen.update(tensor.contiguous().numpy())
        keys.append(seen.copy().hexdigest())
    return keys
