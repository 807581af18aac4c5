"""Two registered networks on the same validation images, and whether one may replace the other.

The rule, which docs/registry.md explains: the candidate is right on more of the images, by the gate
`significant` on significantly more; or it is no worse and takes at most half the arithmetic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError, TrackingError
from src.evaluation.significance import ALPHA, PairedTest, mcnemar
from src.evaluation.tango import lower_limit
from src.files import digest
from src.tracking.champion import version_uri, weights_of
from src.tracking.store import Backend

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities.model_registry import ModelVersion
    from numpy.typing import NDArray
    from torch import Tensor

    from src.data.faceset import FaceSet
    from src.models.classifier import Classifier

MARGIN = 0.01  # of accuracy: by less than this, one network is no worse than another
CHEAPER = 2  # times fewer FLOPs, for which "no worse" is enough
HIGHER, SIGNIFICANT = "higher", "significant"  # as `tracking.gate` in params.yaml


@dataclass(frozen=True)
class Measured:
    """A network: which of N images it got right, and what an image costs it.

    fit: how it wants photos made square, as `data.fit`.
    """

    right: NDArray[np.bool_]
    parameters: int
    flops: int
    milliseconds: float | None = None
    fit: str = "crop"

    @property
    def accuracy(self) -> float:
        """Within [0, 1]."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Comparison:
    """A candidate and a reference on the same images.

    low: the lower 95% limit of the candidate's accuracy less the reference's.
    """

    candidate: Measured
    reference: Measured
    test: PairedTest
    low: float

    @classmethod
    def of(cls, candidate: Measured, reference: Measured) -> Comparison:
        """Test one against the other."""
        test = mcnemar(candidate.right, reference.right)
        low = lower_limit(test.only_first, test.only_second, len(candidate.right))
        return cls(candidate, reference, test, low)

    @property
    def networks(self) -> tuple[Measured, Measured]:
        """Both."""
        return self.candidate, self.reference

    @property
    def images(self) -> int:
        """How many both were asked about."""
        return len(self.candidate.right)

    @property
    def cheaper(self) -> bool:
        """Whether the candidate takes at most half the arithmetic."""
        return self.candidate.flops * CHEAPER <= self.reference.flops

    def verdict(self, whose: str, gate: str = HIGHER, tie_break: str = "") -> tuple[bool, str]:
        """Whether the candidate replaces the reference, which is `whose`, and why.

        With a `tie_break`, it also does where both are right on equally many.
        """
        ours, theirs = (int(each.right.sum()) for each in self.networks)
        counts = f"right on {ours} of {self.images} validation images"
        counts += f" against {theirs} of {whose} (p = {self.test.p:.2g})"
        if ours > theirs and (gate == HIGHER or self.test.p < ALPHA):
            return True, counts
        limit = f"the lower limit of the difference is {100 * self.low:+.1f} points"
        if self.cheaper and self.low > -MARGIN:
            return True, f"no worse at half the cost or less: {counts}; {limit}"
        if ours > theirs:
            return False, f"not significantly better: {counts}"
        if ours == theirs and tie_break:
            return True, f"{tie_break}, else a tie: {counts}"
        said = f"{'a tie' if ours == theirs else 'worse'}: {counts}"
        return False, f"{said}; cheaper, but {limit}" if self.cheaper else said


def measure(
    backend: Backend,
    version: ModelVersion,
    faces: FaceSet,
    fit: str | None = None,
    timed: bool = False,
) -> Measured:
    """Run a version on the validation images of `faces`, whose photos were made square by `fit`.

    Raises StaleInputError if it was trained for other subjects or another image size,
    TrackingError if its file is missing or it wants another `fit`. Where that is None it is the
    version's own.
    """
    from src.data.faceset import Split
    from src.models.classifier import Classifier
    from src.models.flops import forward_flops

    classifier = Classifier.load(weights_of(backend, version))
    where, mend = version_uri(version), "compare versions for the same subjects and image size"
    own = classifier.spec.fit
    if fit not in (None, own):
        what = f"makes photos square by `{own}`, and not by `{fit}`"
        overrule = "overrule the gate by `promote --force`"
        raise TrackingError(where, what, f"compare versions of the same data.fit, or {overrule}")
    if classifier.subjects != faces.subjects:
        raise StaleInputError(where, "trained for other subjects", mend)
    images, labels = faces.part(Split.val)
    if not len(images):
        raise TrackingError("the dataset", "no validation images", "raise data.val_fraction")
    if classifier.image_size != images.shape[-1]:
        raise StaleInputError(where, "trained for another image size", mend)
    right = (classifier.logits(images).argmax(1) == labels).numpy()
    return Measured(
        right,
        sum(each.numel() for each in classifier.network.parameters()),
        forward_flops(classifier.network, classifier.spec.input_size),
        _milliseconds(classifier, images[:64]) if timed else None,
        own,
    )


def _milliseconds(classifier: Classifier, images: Tensor) -> float:
    """For one of a batch of images on this machine's processor, the shortest of three times."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        classifier.logits(images)
        times.append(time.perf_counter() - began)
    return 1000 * min(times) / len(images)


def load_faces(path: Path | None, md5: str) -> FaceSet:
    """The packed dataset in `path`; raises TrackingError unless it is there and has this md5."""
    from src.data.faceset import FaceSet

    if path is None or not path.is_file() or digest(path) != md5:
        raise TrackingError(
            "the dataset",
            "missing, or not the version that the run was trained on",
            "run `dvc checkout`",
        )
    return FaceSet.load(path)
