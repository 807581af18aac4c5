"""Images whose label is probably wrong, and the file that keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Suspect:
    """An image that is said to show `subject`, and probably shows `suggested`.

    file: its path within the origin. probability: of `suggested`. margin: by how much that is
    above the probability of `subject`.
    """

    file: str
    subject: str
    suggested: str
    probability: float
    margin: float


def find_suspects(
    probabilities: NDArray[Any],
    labels: NDArray[np.int64],
    subjects: Sequence[str],
    files: Sequence[str],
) -> tuple[Suspect, ...]:
    """The images whose label confident learning doubts, the most suspect first.

    probabilities: (N, C), each row of a classifier that has not seen the image. labels: (N,), an
    index into the C `subjects`. files: the N images' names.
    """
    from src.labels.confident import doubts

    found = doubts(probabilities, labels)
    return tuple(
        Suspect(
            files[row],
            subjects[labels[row]],
            subjects[suggested],
            float(probabilities[row, suggested]),
            float(margin),
        )
        for row, suggested, margin in zip(found.rows, found.suggested, found.margins, strict=True)
    )


def write_suspects(path: Path, suspects: Iterable[Suspect], *, origin: str, faces_md5: str) -> None:
    """Write them atomically, with the dataset that they are of."""
    listed = [asdict(each) for each in suspects]
    write_json(path, {"origin": origin, "faces_md5": faces_md5, "suspects": listed})


def read_suspects(path: Path, faces_md5: str) -> tuple[Suspect, ...] | None:
    """The suspects in `path`, the most suspect first.

    None if there is no such file, it is not one of ours, or it is of another dataset than the one
    whose packed file has this md5.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["faces_md5"] != faces_md5:
            return None
        return tuple(Suspect(**each) for each in found["suspects"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
