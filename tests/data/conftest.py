"""Images of made-up subjects, as files in folders and archives."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.config import Data


def noise(seed: int, size: int = 40) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: smooth noise, different for every seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    """An image file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def subjects(names: str = "abc", each: int = 6) -> dict[str, bytes]:
    """`SUBJECT/NUMBER.png` with its bytes, for every subject."""
    return {
        f"{name}/{number}.png": encoded(noise(100 * place + number))
        for place, name in enumerate(names)
        for number in range(each)
    }


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files under `root`."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def unpacked(files: dict[str, bytes]) -> bytes:
    """A tar archive's bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def write_tar(path: Path, files: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    """Write the files as a tar archive, gzipped or plain."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def asking_for(dictionary: int, packed: bytes) -> bytes:
    """An xz file whose first block asks for a dictionary of the size with this number."""
    size = 4 * (packed[12] + 1)
    header = bytearray(packed[12 : 12 + size - 4])
    header[4] = dictionary
    return packed[:12] + header + zlib.crc32(header).to_bytes(4, "little") + packed[12 + size :]


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files as a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def settings(origin: Path | str, **changes: object) -> Data:
    """The data section for an origin."""
    return Data.model_validate({"origin": str(origin), "image_size": 32, **changes})
