"""Origins and datasets of any number of images, made from a few."""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from src.data.faceset import FaceSet

SHIFT, COARSE, NOISE = 8, 8, 48  # pixels; patches by side; grey levels that these differ by


@dataclass(frozen=True)
class PackingCost:
    """Time and memory of packing an archive, in seconds and MiB, and of loading what it gave.

    peak_memory_mb: resident, with mapped pages of files. peak_own_mb: without them.
    """

    images: int
    subjects: int
    archive_mb: float
    seconds: float
    load_seconds: float
    peak_memory_mb: float
    peak_own_mb: float
    near_duplicates: int

    def __str__(self) -> str:
        return (
            f"{'packing':<28}{self.images:>8,}{self.subjects:>9,}{'':>8}{self.load_seconds:>9.1f}"
            f"{'':>9}{self.seconds:>10.1f}{self.peak_memory_mb:>10,.0f}{self.peak_own_mb:>10,.0f}"
        )


def write_archive(path: Path, faces: FaceSet, images: int, subjects: int) -> None:
    """A tar of JPEGs: the packed images in turn, each shifted and under patches of its own."""
    draw = np.random.default_rng(0)
    given = faces.images.permute(0, 2, 3, 1).numpy()
    with tarfile.open(path, "w") as archive:
        for number in range(images):
            shift = draw.integers(-SHIFT, SHIFT + 1, 2)
            pixels = np.roll(given[number % len(given)], tuple(shift), (0, 1)).astype(np.int16)
            patches = draw.integers(-NOISE, NOISE + 1, (COARSE, COARSE, 3), dtype=np.int16)
            side = -(-len(pixels) // COARSE)
            pixels += patches.repeat(side, 0).repeat(side, 1)[: len(pixels), : len(pixels)]
            file = io.BytesIO()
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
            member = tarfile.TarInfo(f"subject_{number % subjects:06}/{number // subjects:06}.jpg")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)


def measure_packing(faces: Path, images: int, subjects: int) -> PackingCost:
    """Pack an archive of that many images as stage `dataset` does, and load what comes of it."""
    import torch

    from benchmarks.memory import OwnMemory, peak_memory
    from src.config import load_params
    from src.data.faceset import FaceSet
    from src.data.pack import pack
    from src.files import write_text
    from src.training.device import Compute

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        archive, packed = Path(folder) / "many.tar", Path(folder) / "packed.safetensors"
        write_archive(archive, FaceSet.load(faces), images, subjects)
        data = load_params().data
        data = data.model_copy(update={"origin": str(archive), "classes": {}})
        with OwnMemory() as own:
            started = time.perf_counter()
            found = pack(data, 0)
            found.faces.save(packed)
            write_text(Path(folder) / "manifest.csv", found.manifest_csv())
            seconds = time.perf_counter() - started
        started = time.perf_counter()
        FaceSet.load(packed)
        return PackingCost(
            images=images,
            subjects=subjects,
            archive_mb=archive.stat().st_size / 2**20,
            seconds=seconds,
            load_seconds=time.perf_counter() - started,
            peak_memory_mb=peak_memory(Compute(torch.device("cpu"), torch.float32)),
            peak_own_mb=own.peak,
            near_duplicates=found.report()["found"]["near_duplicate"],
        )
