"""Source weights: where a network starts before it is fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from src.errors import WeightsError
from src.files import atomic, digest
from src.models.backbones import BACKBONES
from src.models.imports import without_dynamo
from src.models.network import Network

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class SourceWeights:
    """A backbone's parameters and buffers (float32), without any classifier.

    `mean` and `deviation` are per channel, of images scaled to [0, 1]: what the weights expect.
    `origin` says in words where they come from, `licence` on whose terms they may be used.
    """

    state: Mapping[str, Tensor]
    backbone: str
    origin: str
    licence: str = "unknown"
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION

    def save(self, path: Path) -> None:
        """Write atomically as safetensors."""
        facts = {
            "backbone": self.backbone,
            "origin": self.origin,
            "licence": self.licence,
            "mean": self.mean,
            "deviation": self.deviation,
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.state.items()}
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"source": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> SourceWeights:
        """Read a file that `save` wrote; raises WeightsError, naming tensors that are not right."""
        mend = "run `dvc repro weights` to make them"
        try:
            state, metadata = _opened(path)
            facts = json.loads(metadata["source"])
            mean, deviation = tuple(facts["mean"]), tuple(facts["deviation"])
            source = cls(
                state, facts["backbone"], facts["origin"], facts["licence"], mean, deviation
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            raise WeightsError(str(path), "not source weights", mend) from None
        _refuse_unless_whole(state, source.backbone, str(path), mend)
        return source


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
            "ImageNet weights",
            f"could not be fetched ({error})",
            "go online once, or set weights.origin to a copy of the same file",
        ) from None
    return _matched(state, backbone, f"imagenet ({weights.url.rsplit('/', 1)[-1]})", weights.url)


def file_weights(path: Path, backbone: str) -> SourceWeights:
    """Weights under torchvision's names from safetensors or a `weights_only` checkpoint.

    The classifier's parameters may be there or not. The licence is the metadata's, `licence` or
    `license`; of a file that `SourceWeights.save` wrote, statistics and licence are kept. Raises
    WeightsError, naming what differs.
    """
    state, metadata = _read(path)
    sha256 = digest(path, "sha256")
    source = _matched(state, backbone, f"{path.name} (sha256 {sha256})", str(path))
    if '"deviation"' in metadata.get("source", ""):  # a `source` that others wrote lacks it
        saved = SourceWeights.load(path)
        return replace(saved, state=source.state, origin=source.origin)
    licence = metadata.get("licence") or metadata.get("license") or source.licence
    return replace(source, licence=licence)


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, file.metadata() or {}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state_dict from safetensors or a checkpoint, with the metadata that safetensors have."""
    try:
        if path.suffix == ".safetensors":
            return _opened(path)
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
    return state, {}


def _matched(state: Mapping[str, Tensor], backbone: str, origin: str, where: str) -> SourceWeights:
    """The backbone's part of a `state` whose classifier and counters may be there or not."""
    layout = _layout(backbone)
    classifier = f"{BACKBONES[backbone].head}."
    given = {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}
    counters = {name for name in layout if name.endswith("num_batches_tracked")}
    for name in counters - given.keys():
        given[name] = torch.zeros_like(layout[name], device="cpu")
    mend = "give a file with torchvision's parameter names, or set model.backbone"
    _refuse_unless_whole(given, backbone, where, mend)
    return SourceWeights(
        {name: given[name].to(layout[name].dtype) for name in layout}, backbone, origin
    )


@cache
def _layout(backbone: str) -> Mapping[str, Tensor]:
    """Names, shapes and types of a backbone's tensors, without memory behind them."""
    with torch.device("meta"):
        return BACKBONES[backbone].build("standard").state_dict()


def _refuse_unless_whole(state: Mapping[str, Tensor], backbone: str, where: str, mend: str) -> None:
    """Raise WeightsError, naming tensors, unless `state` is all of a backbone and finite."""
    if backbone not in BACKBONES:
        raise WeightsError(where, f"weights of an unknown backbone, {backbone!r}", mend)
    layout = _layout(backbone)
    wrong = {
        "missing": layout.keys() - state.keys(),
        "unknown": state.keys() - layout.keys(),
        "of another shape": {
            name for name in layout.keys() & state.keys() if layout[name].shape != state[name].shape
        },
        "not finite": {
            name for name, tensor in state.items() if not tensor.float().isfinite().all()
        },
    }
    if problems := [f"{kind}: {_some(sorted(names))}" for kind, names in wrong.items() if names]:
        raise WeightsError(where, f"not the weights of a {backbone} ({'; '.join(problems)})", mend)


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def load_source(network: Network, source: SourceWeights) -> None:
    """Copy source weights into a network, leaving its head as it is.

    Blocks above the network's last take no part. Raises WeightsError, with the network as it was,
    where the source is of another backbone or not the whole of its own.
    """
    name = network.backbone.name
    where, mend = f"source weights, {source.origin}", "run `dvc repro weights` to make them again"
    if source.backbone != name:
        raise WeightsError(
            where,
            f"weights of a {source.backbone}, where the network is a {name}",
            f"run `dvc repro weights`, or set model.backbone to {source.backbone}",
        )
    _refuse_unless_whole(source.state, name, where, mend)
    network.load_state_dict(source.state, strict=False)  # heads and blocks cut off are apart
