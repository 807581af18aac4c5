"""Source weights: where a network starts before it is fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from src.errors import WeightsError
from src.files import atomic, digest
from src.models.backbones import BACKBONES
from src.models.imports import without_dynamo

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class SourceWeights:
    """A backbone's parameters and buffers (float32), without any classifier.

    `mean` and `deviation` are per channel, of images scaled to [0, 1]: what the weights expect.
    `origin` says in words where they come from.
    """

    state: Mapping[str, Tensor]
    backbone: str
    origin: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        facts = {
            "backbone": self.backbone,
            "origin": self.origin,
            "mean": self.mean,
            "deviation": self.deviation,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.state.items()}
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"source": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> SourceWeights:
        """Read a file that `save` wrote; raises WeightsError."""
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["source"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError):
            raise WeightsError(
                str(path), "not source weights", "run `dvc repro weights` to make them"
            ) from None
        mean, deviation = tuple(facts["mean"]), tuple(facts["deviation"])
        return cls(state, facts["backbone"], facts["origin"], mean, deviation)


def random_weights(backbone: str, seed: int) -> SourceWeights:
    """torchvision's own initialisation, from `seed`: the control that was never pretrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = BACKBONES[backbone].build("standard")
    return SourceWeights(network.state_dict(), backbone, "scratch")


def imagenet_weights(backbone: str) -> SourceWeights:
    """torchvision's ImageNet weights, checked against the hash in their file name.

    Raises WeightsError where they cannot be downloaded.
    """
    with without_dynamo():
        from torchvision.models import get_model_weights
    weights = get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            "weights: imagenet",
            f"could not be fetched ({error})",
            "go online once, or use `file:PATH` with a copy of the same file",
        ) from None
    return _matched(state, backbone, f"imagenet ({weights.url.rsplit('/', 1)[-1]})", weights.url)


def file_weights(path: Path, backbone: str) -> SourceWeights:
    """Weights under torchvision's names from safetensors or a `weights_only` checkpoint.

    The classifier's parameters may be there or not. Raises WeightsError, naming what differs.
    """
    if not path.is_file():
        raise WeightsError(str(path), "no such file", "mend `weights: file:PATH`")
    state = _read(path)
    sha256 = digest(path, "sha256")
    return _matched(state, backbone, f"{path.name} (sha256 {sha256})", str(path))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # junk makes the unpickler raise anything
        raise WeightsError(
            str(path),
            "neither safetensors nor a checkpoint that holds only weights",
            "save a state_dict",
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(str(path), "holds no state_dict", "save a state_dict of tensors")
    return state


def _matched(state: Mapping[str, Tensor], backbone: str, origin: str, where: str) -> SourceWeights:
    expected = BACKBONES[backbone].build("standard").state_dict()
    classifier = f"{BACKBONES[backbone].head}."
    given = {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    for name in counters - given.keys():
        given[name] = expected[name]
    wrong = {
        "missing": sorted(expected.keys() - given.keys()),
        "unknown": sorted(given.keys() - expected.keys()),
        "of another shape": sorted(
            name
            for name in expected.keys() & given.keys()
            if expected[name].shape != given[name].shape
        ),
        "not finite": sorted(
            name for name, tensor in given.items() if not tensor.float().isfinite().all()
        ),
    }
    if problems := [f"{kind}: {_some(names)}" for kind, names in wrong.items() if names]:
        raise WeightsError(
            where,
            f"not the weights of a {backbone} ({'; '.join(problems)})",
            "give a file with torchvision's parameter names, or set model.backbone",
        )
    state = {name: given[name].to(expected[name].dtype) for name in expected}
    return SourceWeights(state, backbone, origin)


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def load_source(network: nn.Module, source: SourceWeights) -> None:
    """Copy source weights into a network, leaving its head as it is."""
    network.load_state_dict(source.state, strict=False)
