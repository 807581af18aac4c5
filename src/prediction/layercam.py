"""Which places of an image speak for a subject: LayerCAM (Jiang et al., 2021).

P.-T. Jiang, C.-B. Zhang, Q. Hou, M.-M. Cheng and Y. Wei, LayerCAM: Exploring Hierarchical Class
Activation Maps for Localization, IEEE Transactions on Image Processing 30, 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from src.models.classifier import Classifier
from src.models.head import NeighbourHead
from src.models.network import Network, normalize

LEAST = 3  # rows and columns of a map that says where


def heat_maps(classifier: Classifier, images: Tensor, subjects: Tensor) -> Tensor:
    """(N, S, S) in [0, 1]: how much each place of (N, 3, S, S) uint8 images speaks for a subject.

    subjects: (N,) their numbers. Each activation of a block counts by its own gradient, where that
    is positive. The block is the last whose map has LEAST rows. Where the network sees only the
    centre of an image, the rest is 0, as is a map without any place that speaks for the subject.
    They are of the images as they are, also where the answers take flipped ones into account.
    """
    network, spec = classifier.network, classifier.spec
    stop, activations = _last_map(network, normalize(images, spec))
    with torch.enable_grad():
        leaf = activations.detach().clone().requires_grad_()
        # A copy, since the next block may work in place.
        features = _from(network, leaf.clone(), stop)
        scores = _scores(network, features, subjects)
        (gradients,) = torch.autograd.grad(scores.sum(), leaf)
    maps = (gradients.relu() * activations).sum(1, keepdim=True).relu()
    maps = F.interpolate(maps, size=(spec.input_size,) * 2, mode="bilinear", align_corners=False)
    maps = maps / maps.amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
    before = round((spec.image_size - spec.input_size) / 2)  # as `centre` of the network rounds
    after = spec.image_size - spec.input_size - before
    return F.pad(maps, (before, after, before, after))[:, 0]


@torch.no_grad()
def _last_map(network: Network, x: Tensor) -> tuple[int, Tensor]:
    """The number of blocks up to the last one with a map of LEAST rows, and its output.

    The first block's, where no map is as large.
    """
    stop, kept = 0, x
    for count, name in enumerate(network.blocks, 1):
        for module in network.block(name):
            x = module(x)
        if count == 1 or min(x.shape[-2:]) >= LEAST:
            stop, kept = count, x.clone()
    return stop, kept


def _from(network: Network, x: Tensor, start: int) -> Tensor:
    """The features of the output of block `start - 1`."""
    count = len(network.blocks)
    if start == count:
        return F.adaptive_avg_pool2d(x, 1).flatten(1)
    return network.run(x, start, count)


def _scores(network: Network, features: Tensor, subjects: Tensor) -> Tensor:
    """(N,) what grows with the likeness to a subject: its logit.

    The votes of nearest neighbours have no gradient; the nearness of the subject's nearest has.
    """
    head = network.head
    if isinstance(head, NeighbourHead):
        distances = torch.cdist((features - head.mean) / head.scale, head.stored)
        others = head.labels[None] != subjects[:, None]
        return -distances.masked_fill(others, torch.inf).amin(1)
    logits: Tensor = head(features)
    return logits.gather(1, subjects[:, None])[:, 0]
