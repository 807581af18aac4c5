"""Stored predictions of every experiment for the test images, so that no stage runs them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src import paths
from src.errors import StaleInputError
from src.evaluation.metrics import answers
from src.tensors import MALFORMED, load_tensors, save_tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.data.faceset import FaceSet


@dataclass(frozen=True)
class Predictions:
    """Logits of every experiment on the same N test images.

    logits: per experiment (S, N, C) float32, one entry for each of its S seeds. The first is of the
    model that is kept, whose answers alone are shown image by image. labels: (N,) int64, an index
    into `subjects`. rows: (N,) int64, the images' row numbers in the packed dataset. temperatures:
    per experiment that of the model that is kept, 1 where it is not known. images: the digest of
    the images (`FaceSet.digest`), empty in files from before there was one.
    """

    logits: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    subjects: tuple[str, ...]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    images: str = ""

    def check_are_of(self, faces: FaceSet) -> None:
        """Raise StaleInputError unless these are predictions of the test images of `faces`."""
        from src.data.faceset import Split

        rows = faces.rows(Split.test)
        same = self.rows.tolist() == rows.tolist() and self.subjects == faces.subjects
        same = same and self.labels.tolist() == faces.labels[rows].tolist()
        if not (same and self.images in ("", faces.digest(rows))):
            what, mend = "made from other faces or labels", "run `dvc repro evaluate`"
            raise StaleInputError(str(paths.PREDICTIONS), what, mend)

    def predicted(self, experiment: str) -> NDArray[np.int64]:
        """(N,) the subject that the kept model predicts of each image."""
        answer: NDArray[np.int64] = self.logits[experiment][0].argmax(axis=1)
        return answer

    def correct(self, experiment: str) -> NDArray[np.bool_]:
        """(S, N) whether each seed predicted each image correctly; False where a logit is NaN."""
        right: NDArray[np.bool_] = answers(self.logits[experiment]) == self.labels
        return right

    def of_subject(self, experiment: str, subject: int) -> list[int]:
        """Positions among the N of one subject's images, those the kept model got wrong first."""
        right = self.correct(experiment)[0]
        mine = [index for index, label in enumerate(self.labels) if label == subject]
        return sorted(mine, key=lambda index: bool(right[index]))

    def probabilities(self, experiment: str) -> NDArray[np.float32]:
        """(N, C) the kept model's calibrated probabilities; each row sums to one."""
        import numpy as np
        from scipy.special import softmax

        cooled = self.logits[experiment][0] / np.float32(self.temperature(experiment))
        shares: NDArray[np.float32] = softmax(cooled, axis=1)
        return shares

    def temperature(self, experiment: str) -> float:
        """What the kept model's logits are divided by."""
        return self.temperatures.get(experiment, 1.0)

    def save(self, path: Path) -> None:
        """Write atomically; the same predictions always give the same bytes."""
        import torch

        arrays: dict[str, NDArray[Any]] = {"labels": self.labels, "rows": self.rows}
        arrays |= {f"logits/{name}": logits for name, logits in self.logits.items()}
        about = {
            "subjects": self.subjects,
            "experiments": tuple(self.logits),
            "temperatures": dict(self.temperatures),
            "images": self.images,
        }
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        save_tensors(path, tensors, about=about)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file that `save` wrote; raises StaleInputError where it is not one."""
        try:
            tensors, metadata = load_tensors(path)
            about = json.loads(metadata["about"])
            logits = {name: tensors[f"logits/{name}"].numpy() for name in about["experiments"]}
            if any(each.ndim != 3 for each in logits.values()):
                raise ValueError("logits without a dimension of seeds")
            return cls(
                logits,
                tensors["labels"].numpy(),
                tensors["rows"].numpy(),
                tuple(about["subjects"]),
                {name: float(value) for name, value in about.get("temperatures", {}).items()},
                str(about.get("images", "")),
            )
        except MALFORMED:
            raise StaleInputError(
                str(path), "not a file of predictions", "run `dvc repro evaluate` to make it"
            ) from None
