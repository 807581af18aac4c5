"""What the programs of all peers share: options, clock and result, so that all are timed alike.

Imports only the standard library and, inside functions, torch and safetensors: it runs in every
peer's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as every peer takes
NATIVE = 64  # pixels of the exported images
EVALUATION_BATCH = 64


def arguments(
    description: str, *, batch_size: int | None, recipes: tuple[str, ...] = ()
) -> argparse.ArgumentParser:
    """The options that every peer has; `batch_size` is its library's default, if it has one."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder of train/, val/ and test/")
    add("weights", type=Path, metavar="WEIGHTS", help="safetensors of a torchvision ResNet-18")
    add("--seed", type=int, default=0, help="of order and initialization (%(default)s)")
    add("--epochs", type=int, default=10, help="passes over the images (%(default)s)")
    add("--batch-size", type=int, default=batch_size, help="(%(default)s)")
    add("--size", type=int, default=NATIVE, help="pixels to scale images to (%(default)s)")
    add("--threads", type=int, default=os.cpu_count() or 1, help="of torch (%(default)s)")
    add("--workers", type=int, default=2, help="of the DataLoader (%(default)s)")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="(%(default)s)")
    add("--output", type=Path, default=Path("result.json"), help="(%(default)s)")
    if recipes:
        add("--recipe", choices=recipes, default=recipes[0], help="(%(default)s)")
    return parser


@dataclass
class Measurement:
    """The clock of one training: `start`, then `epoch` after each validation, then `stop`."""

    options: argparse.Namespace
    history: list[tuple[float, float]] = field(default_factory=list)
    started: float = 0.0
    seconds: float = 0.0

    def start(self) -> None:
        """Everything is imported and set up, and training begins."""
        import torch

        torch.set_num_threads(self.options.threads)
        self.started = time.perf_counter()

    def epoch(self, val_accuracy: float) -> None:
        """An epoch and its validation have ended."""
        self.history.append((time.perf_counter() - self.started, float(val_accuracy)))

    def stop(self) -> None:
        """Training has ended, the last validation and the choice of the model included."""
        self.seconds = time.perf_counter() - self.started

    def write(self, test_accuracy: float, kept: int, packages: Iterable[str]) -> None:
        """Write the result; `kept` is the number of the epoch whose model was tested."""
        import torch

        options = self.options
        result = {
            "seed": options.seed,
            "epochs": len(self.history),
            "batch_size": options.batch_size,
            "size": options.size,
            "precision": options.precision,
            "threads": torch.get_num_threads(),
            "workers": options.workers,
            "seconds": self.seconds,
            "history": [{"seconds": at, "val_accuracy": found} for at, found in self.history],
            "kept": kept,
            "test_accuracy": float(test_accuracy),
            "peak_rss_mb": peak_rss_mb(),
            "versions": {name: metadata.version(name) for name in packages},
        }
        options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")


def peak_rss_mb() -> float:
    """MiB that this process had at most, without its loader's workers.

    From Linux where it is: the counter of getrusage starts with what the parent had.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def backbone_weights(path: Path) -> dict[str, Tensor]:
    """The source weights in float32, without any classifier."""
    from safetensors.torch import load_file

    state: Mapping[str, Tensor] = load_file(path)
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
        if not name.startswith("fc.")
    }


def load_backbone(network: Any, path: Path) -> None:
    """Copy the source weights into a network that has a new classifier `fc` or none."""
    missing, unexpected = network.load_state_dict(backbone_weights(path), strict=False)
    wrong = [name for name in missing if not name.startswith("fc.") and "num_batches" not in name]
    if wrong or unexpected:
        raise SystemExit(f"{path}: not a ResNet-18 of torchvision: {[*wrong, *unexpected][:3]}")


def train_epoch(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    autocast: Callable[[], AbstractContextManager[object]],
) -> None:
    """The plain loop over all batches, for the libraries that leave it to their users."""
    network.train()
    for images, labels in batches:
        with autocast():
            loss = criterion(network(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def accuracy(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    autocast: Callable[[], AbstractContextManager[object]],
) -> float:
    """The share of images that the network, which is set to evaluation, gets right."""
    import torch

    network.eval()
    right = images = 0
    with torch.no_grad(), autocast():
        for inputs, labels in batches:
            right += int((network(inputs).argmax(1) == labels).sum())
            images += len(labels)
    return right / images


def autocast_of(precision: str) -> Callable[[], AbstractContextManager[object]]:
    """torch's autocast on the processor; it does nothing for float32."""
    import torch

    return lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16")
