"""Pretrained weights from torchvision or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from src.errors import WeightsError
from src.files import digest
from src.models.backbones import BACKBONES
from src.models.imports import without_dynamo
from src.models.weights import SourceWeights, check_complete, layout_of
from src.tensors import load_tensors


def imagenet_weights(backbone: str) -> SourceWeights:
    """torchvision's ImageNet weights, checked against the hash in their file name.

    Raises WeightsError where they cannot be downloaded, or another file is where torch keeps them.
    """
    with without_dynamo():
        from torchvision.models import get_model_weights
    url = get_model_weights(backbone)["IMAGENET1K_V1"].url
    file = _published(url)
    state, _ = _read(file)
    return _match(state, backbone, f"imagenet ({file.name})", url)


def _published(url: str) -> Path:
    """The file in torch.hub's cache that `url` names, downloaded if it is not there.

    torch checks the hash of what it downloads alone, and then unpickles whatever lies there.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    sha256 = file.stem.rpartition("-")[2]  # its first digits
    try:
        if not file.exists():
            print(f"downloading {url} to {file}")
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), sha256, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            "ImageNet weights",
            f"could not be downloaded ({error})",
            "go online once, or set weights.origin to a copy of the same file",
        ) from None
    with suppress(OSError):  # a folder, or a file that may not be read
        if digest(file, "sha256").startswith(sha256):
            return file
    what = f"not the published file (its sha256 does not begin with {sha256})"
    raise WeightsError(str(file), what, "remove it and run the command again")


def file_weights(path: Path, backbone: str) -> SourceWeights:
    """Weights with torchvision's parameter names, from safetensors or a `weights_only` checkpoint.

    Parameters of a classifier are ignored. The licence is the metadata's `licence` or `license`; a
    file that `SourceWeights.save` wrote keeps its statistics and licence. Raises WeightsError,
    naming the tensors that differ.
    """
    state, metadata = _read(path)
    sha256 = digest(path, "sha256")
    source = _match(state, backbone, f"{path.name} (sha256 {sha256})", str(path))
    if '"deviation"' in metadata.get("source", ""):  # a `source` that others wrote lacks it
        saved = SourceWeights.load(path)
        return replace(saved, state=source.state, origin=source.origin)
    licence = metadata.get("licence") or metadata.get("license") or source.licence
    return replace(source, licence=licence)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state_dict from safetensors or a checkpoint, and the metadata of safetensors."""
    try:
        if path.suffix == ".safetensors":
            return load_tensors(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # junk makes the unpickler raise anything
        raise WeightsError(
            str(path),
            "neither safetensors nor a checkpoint that holds only weights",
            "save a state_dict",
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(str(path), "holds no state_dict", "save a state_dict of named tensors")
    return state, {}


def _match(state: Mapping[str, Tensor], backbone: str, origin: str, where: str) -> SourceWeights:
    """The backbone's part of `state`; BatchNorm's counters are zero where it has none."""
    layout = layout_of(backbone)
    classifier = f"{BACKBONES[backbone].head}."
    given = {name: tensor for name, tensor in state.items() if not name.startswith(classifier)}
    counters = {name for name in layout if name.endswith("num_batches_tracked")}
    for name in counters - given.keys():
        given[name] = torch.zeros_like(layout[name], device="cpu")
    mend = "give a file with torchvision's parameter names, or set model.backbone"
    check_complete(given, backbone, where, mend)
    return SourceWeights(
        {name: given[name].to(layout[name].dtype) for name in layout}, backbone, origin
    )
