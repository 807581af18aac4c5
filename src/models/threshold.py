"""When an answer is `unknown`, and which subjects are candidates: what is stored beside a model.

`src.evaluation.strangers` sets both; nothing here has seen a test image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from src.errors import WeightsError
from src.files import digest
from src.models.classifier import Classifier
from src.tensors import MALFORMED, load_tensors, save_tensors

SCORES = ("probability", "energy", "distance")
Share = Annotated[float, Field(ge=0, le=1)]


def known_scores(
    logits: Tensor, features: Tensor, temperature: float, means: Tensor
) -> dict[str, Tensor]:
    """(N,) float64 by each of SCORES of how much an image looks like one of a known subject.

    probability: the log-odds of the largest calibrated probability, which order images as it does
    (Hendrycks & Gimpel, 2017) but never round to the same 1. energy: minus the free energy, the
    logarithm of the sum of exponentials of the logits (Liu et al., 2020). distance: the largest
    cosine of the (N, D) features that the head reads with the (C, D) `means` of the subjects'
    training images, both seen from the middle of the means; after Lee et al. (2018), whose shared
    covariance a few hundred images do not determine.
    """
    logits = logits.double()
    ranked = (logits / temperature).sort(1, descending=True).values
    middle = means.double().mean(0)
    # A product, since to compare each with each takes memory by images times subjects times D.
    cosines = F.normalize(features.double() - middle) @ F.normalize(means.double() - middle).T
    return {
        "probability": ranked[:, 0] - ranked[:, 1:].logsumexp(1),
        "energy": logits.logsumexp(1),
        "distance": cosines.amax(1),
    }


@dataclass(frozen=True, kw_only=True)
class _Facts:
    model: str
    experiment: str
    score: Annotated[str, Field(pattern=f"^({'|'.join(SCORES)})$")] | None
    value: float
    far: Share
    floor: Share
    level: Share


_FACTS: TypeAdapter[_Facts] = TypeAdapter(_Facts)


@dataclass(frozen=True, kw_only=True)
class Threshold(_Facts):
    """What a model's answers are held against.

    model: md5 of the model file that it belongs to. score: which of SCORES must be above `value`;
    None without strangers: nothing is unknown then, and there are no candidates. far: the
    false-accept rate that was asked for. floor: the least probability of a candidate; the sets of
    candidates hold the right subject with probability `level`. means: (C, D), those of
    `known_scores`.
    """

    means: Tensor | None = None

    def save(self, path: Path) -> None:
        """Write atomically."""
        facts = {key: value for key, value in vars(self).items() if key != "means"}
        save_tensors(path, {} if self.means is None else {"means": self.means}, threshold=facts)

    @classmethod
    def load(cls, path: Path) -> Threshold:
        """Read a file that `save` wrote; raises WeightsError where it is not one."""
        try:
            tensors, metadata = load_tensors(path)
            facts = _FACTS.validate_json(metadata["threshold"], strict=True)
            means = tensors.get("means")
            if not isfinite(facts.value) or not (means is None or means.isfinite().all()):
                raise ValueError("not finite")
            if facts.score and (means is None or means.ndim != 2):
                raise ValueError("no means")
            return cls(**vars(facts), means=means)
        except MALFORMED:
            raise WeightsError(
                str(path), "not a model's threshold", "run `dvc repro evaluate` to make it"
            ) from None

    @classmethod
    def of_model(cls, path: Path, model: Path) -> Threshold | None:
        """The threshold in `path`; None if there is none, or if it is for another model file."""
        if not path.is_file():
            return None
        found = cls.load(path)
        return found if found.model == digest(model) else None

    @classmethod
    def nothing(cls, model: str, experiment: str, far: float) -> Threshold:
        """Where there are no strangers."""
        return cls(
            model=model, experiment=experiment, score=None, value=0.0, far=far, floor=0.0, level=0.0
        )


@dataclass(frozen=True)
class Answers:
    """Of N images: (N, C) calibrated probabilities, and whether each is of nobody known.

    candidates: (N, C) whether the right subject may well be this one; None without a threshold.
    """

    probabilities: Tensor
    unknown: Tensor
    candidates: Tensor | None


def answer(classifier: Classifier, threshold: Threshold | None, images: Tensor) -> Answers:
    """The answers to (N, 3, S, S) uint8 images; raises WeightsError where they are not finite."""
    features, logits = classifier.outputs(images)
    probabilities = classifier.calibrated(logits)
    if threshold is None or threshold.score is None or threshold.means is None:
        return Answers(probabilities, torch.zeros(len(images), dtype=torch.bool), None)
    if threshold.means.shape != (len(classifier.subjects), features.shape[1]):
        what = "its threshold is of another network"
        raise WeightsError("the network", what, "run `dvc repro --force --single-item register`")
    found = known_scores(logits, features, classifier.spec.temperature, threshold.means)
    unknown = found[threshold.score] <= threshold.value
    return Answers(probabilities, unknown, probabilities >= threshold.floor)
