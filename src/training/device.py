"""The device, its precision, and the settings that make results repeatable."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from src.errors import ConfigError
from src.training.ranks import ALONE, Ranks

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of glibc's malloc.h


@dataclass(frozen=True)
class Compute:
    """A device, the precision its matrix products run in, and the processes that share the work."""

    device: torch.device
    dtype: torch.dtype
    ranks: Ranks = ALONE

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision: products in `dtype`, parameters and reductions in float32."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled)

    @property
    def processor(self) -> str:
        """The GPU's name, or the processor's."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return _cpuinfo("model name") or "CPU"

    @property
    def name(self) -> str:
        """For tags and tables: the processor, with its thread count where it has one."""
        if self.device.type == "cuda":
            return self.processor
        return f"{self.processor}, {torch.get_num_threads()} threads"

    def free_memory(self) -> int:
        """Bytes that could be taken now, within a container's limit; this rank's part of them."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        free = min(int(psutil.virtual_memory().available), left_in_cgroup())
        return free // self.ranks.here


def left_in_cgroup(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes left of the limit that a container sets, of version 2 or 1; a huge number without one.

    File pages that are only cached count as used there, but are given up when memory is needed.
    """
    for names in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        limit, used, stat, cached = names
        try:
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        with suppress(OSError, ValueError, KeyError):
            pages = dict(line.split() for line in (folder / stat).read_text().splitlines())
            left += int(pages[cached])
        return max(left, 0)
    return sys.maxsize


@contextmanager
def products_in(dtype: torch.dtype) -> Iterator[None]:
    """Multiply float32 matrices in `dtype` inside the block; sums and results stay float32.

    oneDNN's bfloat16 products of float32 matrices, where the processor has them.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if dtype == torch.bfloat16 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def resolve(device: str, precision: str, ranks: Ranks = ALONE) -> Compute:
    """The device and precision that `auto` stands for here, each rank with a GPU of its own.

    Raises ConfigError without CUDA, or with fewer GPUs than ranks.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("engine.device", "no CUDA device is here", "use auto or cpu")
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if kind == "cuda" and ranks.count > 1:
        if ranks.here > (gpus := torch.cuda.device_count()):
            what = f"{ranks.here} processes were started here, and GPUs there are {gpus}"
            raise ConfigError("engine.device", what, f"run torchrun --nproc-per-node {gpus}")
        torch.cuda.set_device(ranks.local)
    if precision == "auto":
        precision = "bfloat16" if _native_bfloat16(kind) else "float32"
    if kind == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        tf32 = precision != "float32"  # which convolutions would take by torch's default
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    _keep_freed_memory()
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports a compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    numbered = kind == "cuda" and ranks.count > 1
    where = torch.device(kind, ranks.local) if numbered else torch.device(kind)
    return Compute(where, getattr(torch, precision), ranks)


def _keep_freed_memory() -> None:
    """Let glibc keep large blocks that are freed, for the next step to take.

    It would give them back to the system, which clears them page by page when they are taken anew:
    a tenth of a training step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # musl has none
        mallopt(MMAP_THRESHOLD, 2**30)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def _native_bfloat16(kind: str) -> bool:
    """Whether bfloat16 products are faster than float32 ones here.

    Decided by the processor's features, not by timing, so that each machine is consistent. With
    AMX they are; with AVX-512 alone, training steps of ResNet-18 were 2.9 times as fast on AMD's
    Zen 4 but a quarter slower on an Intel Xeon, whose matrix products ran at half the rate.
    """
    if kind == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    capability: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if capability.get("amx_bf16"):
        return True
    return bool(capability.get("avx512_bf16")) and _cpuinfo("vendor_id") == "AuthenticAMD"


def _cpuinfo(field: str) -> str | None:
    """A field of Linux's description of the first processor; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), None)
