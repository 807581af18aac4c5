"""A trained network for inference: images in, subjects and probabilities out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from src.errors import WeightsError
from src.models.network import (
    ModelSpec,
    Network,
    build_network,
    load_network,
    load_state,
    views,
)
from src.models.seeds import load_seed_states

BATCH = 128  # images that the network takes at once
BATCH_PIXELS = 2**19  # of their squares, which bounds the memory of activations


def at_once(side: int, most: int = BATCH) -> int:
    """How many images of `side` pixels a network takes at once, of which it could take `most`."""
    return max(1, min(most, BATCH_PIXELS // side**2))


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode with what is needed to feed it, and its file if it has one."""

    network: Network
    spec: ModelSpec
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Read a model file; raises WeightsError."""
        network, spec = load_network(path)
        return cls(network.to(memory_format=torch.channels_last), spec, path)

    @classmethod
    def load_seeds(cls, path: Path, further: Path) -> tuple[Classifier, ...]:
        """The classifiers of all seeds: of the model file, then of the further seeds' file.

        Only the first is calibrated: its temperature is not that of the others, which have 1.
        Raises WeightsError.
        """
        state, spec = load_state(path)
        for name, tensor in state.items():  # here, so that all seeds share what does not differ
            if tensor.ndim == 4:
                state[name] = tensor.contiguous(memory_format=torch.channels_last)
        states = load_seed_states(further, state)
        specs = [spec] + [replace(spec, temperature=1.0)] * (len(states) - 1)
        pairs = zip(states, specs, strict=True)
        networks = [(build_network(state, each, str(path)), each) for state, each in pairs]
        return tuple(
            cls(network.to(memory_format=torch.channels_last), each) for network, each in networks
        )

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.spec.subjects

    @property
    def image_size(self) -> int:
        """Side of the square images the network takes, in pixels."""
        return self.spec.image_size

    @torch.inference_mode()
    def logits(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 to (N, classes) float32, in full precision."""
        return self.outputs(images)[1]

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The (N, D) float32 features that the head reads, and the logits it makes of them."""
        network, classes = self.network, len(self.subjects)
        if not len(images):
            return torch.empty(0, network.backbone.features), torch.empty(0, classes)
        size = at_once(self.image_size)
        features = torch.cat(
            [network.answer(views(part, self.spec)) for part in torch.split(images, size)]
        )
        parts = torch.split(features, size)
        return features, torch.cat([network.head(part) for part in parts])

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) uint8 to (N, classes) float32, calibrated; each row sums to one.

        Raises WeightsError where weights are so large that the answers are not finite.
        """
        return self.calibrated(self.logits(images))

    def calibrated(self, logits: Tensor) -> Tensor:
        """The same of (N, classes) logits."""
        shares = (logits / self.spec.temperature).softmax(1)
        if not shares.isfinite().all():
            what = "its answers are not finite, so its weights are out of range"
            raise WeightsError("the network", what, "train it again")
        return shares
