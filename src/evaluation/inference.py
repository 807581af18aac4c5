"""Logits of several networks for the same images; what they share is computed once.

Experiments that freeze blocks end with the blocks they started from, and most experiments do: of
the ten in the default comparison, seven share a whole backbone. So do all seeds of each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from src.data.faceset import MappedImages
from src.models.classifier import Classifier, at_once
from src.models.network import Network, mean_of, views
from src.progress import tracked


@torch.inference_mode()
def shared_logits(
    seeds: Mapping[str, Sequence[Classifier]],
    images: Tensor | MappedImages,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Each experiment's (S, N, classes) float32 logits, on the CPU, of (N, 3, H, H) uint8 images.

    seeds: per experiment, the classifiers of its S seeds.
    dtype: of the products; while training, it is that in which validation images are scored.
    """
    classifiers = [classifier for each in seeds.values() for classifier in each]
    digests: dict[int, bytes] = {}
    keys = [_prefixes(classifier, digests) for classifier in classifiers]
    kept = branches(keys)
    for classifier in classifiers:
        classifier.network.to(device)
    # Allocated at once: small results among large activations would fragment memory.
    logits = {
        name: torch.empty(len(each), len(images), len(each[0].subjects))
        for name, each in seeds.items()
    }
    places = [of_seed for of_seeds in logits.values() for of_seed in of_seeds]
    size = at_once(images.shape[-1])  # as `Classifier.logits`, to get the same logits
    starts = range(0, len(images), size)
    for start in tracked(starts, "testing"):
        batch = images[start : start + size].to(device)
        outputs: tuple[dict[str, Tensor], ...] = ({}, {})  # of images, and of flipped ones
        for classifier, prefixes, place in zip(classifiers, keys, places, strict=True):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                found = [
                    _features(classifier.network, prefixes, view, known, kept)
                    for view, known in zip(views(batch, classifier.spec), outputs, strict=False)
                ]
                place[start : start + size] = classifier.network.head(mean_of(found))
    return logits


def branches(networks: Sequence[Sequence[str]]) -> frozenset[str]:
    """The prefixes from which some network goes on where an earlier one had come to.

    Each network is given by the digests of its prefixes, from the first block to all of them. No
    other output is worth its memory.
    """
    seen: set[str] = set()
    found = set()
    for keys in networks:
        if known := sum(key in seen for key in keys):
            found.add(keys[known - 1])
        seen.update(keys)
    return frozenset(found)


def _features(
    network: Network,
    keys: list[str],
    images: Tensor,
    outputs: dict[str, Tensor],
    kept: frozenset[str],
) -> Tensor:
    """(B, D) of normalised images; `outputs` holds those of prefixes in `kept` computed so far."""
    known = max((length for length, key in enumerate(keys, 1) if key in outputs), default=0)
    x = outputs[keys[known - 1]] if known else images
    for block, key in enumerate(keys[known:], known):
        x = network.run(x, block, block + 1)
        if key in kept:
            outputs[key] = x
    return x


def _prefixes(classifier: Classifier, digests: dict[int, bytes]) -> list[str]:
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
                    seen.update(_digest(tensor, digests))
        keys.append(seen.copy().hexdigest())
    return keys


def _digest(tensor: Tensor, known: dict[int, bytes]) -> bytes:
    """Of a tensor's values; `known` holds those of tensors met before, which seeds share."""
    place = tensor.data_ptr()
    if place not in known:
        known[place] = hashlib.sha256(tensor.contiguous().numpy().data).digest()
    return known[place]
