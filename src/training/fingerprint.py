"""The machine and torch build, which decide a result's bits besides data, code and parameters.

Two runs with the same fingerprint give the same bytes. Two with different ones round differently,
and training carries that further: they agree within what was measured, not bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from src.training.device import Compute

PREFIX = "fingerprint."  # of a run's tags


@dataclass(frozen=True)
class Fingerprint:
    """A kind of machine as torch sees it.

    processor: the model's name, or the GPU's. features: what of its instruction set torch's
    kernels are chosen by. threads: of the processor, over which sums are split. torch: version
    with its build. dtype: what matrices are multiplied in. ranks: processes that train together.
    """

    processor: str
    features: str
    threads: int
    torch: str
    dtype: str
    ranks: int = 1

    @classmethod
    def of(cls, compute: Compute) -> Fingerprint:
        """The fingerprint of this process."""
        return cls(
            compute.processor,
            _features(compute),
            torch.get_num_threads(),
            torch.__version__,
            str(compute.dtype).removeprefix("torch."),
            compute.ranks.count,
        )

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run."""
        return {f"{PREFIX}{key}": str(value) for key, value in asdict(self).items()}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Fingerprint | None:
        """The fingerprint in a run's `tags`; None if a part is missing."""
        tags = {f"{PREFIX}ranks": "1", **tags}  # which older runs do not have
        try:
            own = {key: tags[f"{PREFIX}{key}"] for key in cls.__dataclass_fields__}
        except KeyError:
            return None
        return cls(
            own["processor"],
            own["features"],
            int(own["threads"]),
            own["torch"],
            own["dtype"],
            int(own["ranks"]),
        )

    def differences(self, other: Fingerprint) -> tuple[str, ...]:
        """A phrase for each difference, such as `torch 2.11.0 against 2.15.0`."""
        mine, theirs = asdict(self), asdict(other)
        return tuple(
            f"{key} {mine[key]} against {theirs[key]}" for key in mine if mine[key] != theirs[key]
        )


def _features(compute: Compute) -> str:
    if compute.device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(compute.device)
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return f"sm_{major}{minor} cuda {torch.version.cuda} cudnn {cudnn}"
    given: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    there = sorted(name for name, value in given.items() if value is True)
    return " ".join([torch.backends.cpu.get_cpu_capability(), *there])
