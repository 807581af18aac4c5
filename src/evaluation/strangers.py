"""Where the best network should answer `unknown`, and how well that works.

The score and the threshold come from validation images and one half of the strangers; test images
and the other half only measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from src.data.faceset import FaceSet, Split
from src.evaluation import openset
from src.evaluation.metrics import Proportion, wilson
from src.models.classifier import BATCH, Classifier
from src.models.threshold import SCORES, Threshold, known_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.9  # of the sets of candidates
Scores = Mapping[str, "NDArray[np.float64]"]


@dataclass(frozen=True)
class Half:
    """Images that set a threshold, or that measure it: of known subjects and of strangers.

    known, strangers: by each of SCORES, (N,) and (M,). labels: (N,). identities: (M,).
    probabilities: (N, C), calibrated.
    """

    known: Scores
    strangers: Scores
    labels: NDArray[np.int64]
    identities: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def identity_count(self) -> int:
        """The number of strangers."""
        return len(set(self.identities.tolist()))


@dataclass(frozen=True)
class Halves:
    """`setting` has validation images, `measuring` test images; no stranger is in both."""

    setting: Half
    measuring: Half
    means: Tensor


def split_halves(
    classifier: Classifier,
    faces: FaceSet,
    strangers: FaceSet,
    test: tuple[Tensor, Tensor] | None = None,
) -> Halves:
    """Run the network in float32, as answers do, on all but the test images.

    test: the (features, logits) of those, if they are known in float32 already.
    """
    device = next(classifier.network.parameters()).device

    def outputs_for(images: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = classifier.outputs(images.to(device))
        return features.cpu(), logits.cpu()

    images, labels = faces.mapped(Split.train)
    # Without their logits, which are images times subjects.
    parts = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    features = torch.cat([outputs_for(part)[0] for part in parts])
    means = class_means(features, labels, len(faces.subjects))
    temperature = classifier.spec.temperature

    def scores(outputs: tuple[Tensor, Tensor]) -> dict[str, NDArray[np.float64]]:
        found = known_scores(outputs[1], outputs[0], temperature, means)
        return {name: found[name].numpy() for name in SCORES}

    def half(split: Split, known: tuple[Tensor, Tensor]) -> Half:
        images, identities = strangers.part(split)
        return Half(
            scores(known),
            scores(outputs_for(images)),
            faces.part(split)[1].numpy(),
            identities.numpy(),
            classifier.calibrated(known[1]).numpy(),
        )

    validation = half(Split.val, outputs_for(faces.part(Split.val)[0]))
    test = test or outputs_for(faces.part(Split.test)[0])
    return Halves(validation, half(Split.test, test), means)


def class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(C, D) means of (N, D) features by their (N,) labels."""
    sums = torch.zeros(classes, features.shape[1]).index_add_(0, labels, features)
    return sums / labels.bincount(minlength=classes).clamp(min=1)[:, None]


def set_threshold(
    half: Half, means: Tensor, *, far: float, model: str, experiment: str
) -> Threshold:
    """The score with the highest AUROC, the first of equals, and its threshold for `far`."""
    score = ranking(half)[0]
    right = half.probabilities[range(len(half.labels)), half.labels]
    return Threshold(
        model=model,
        experiment=experiment,
        score=score,
        value=openset.conservative_threshold(half.strangers[score], far),
        far=far,
        floor=openset.candidate_floor(right, LEVEL),
        level=LEVEL,
        means=means,
    )


def ranking(half: Half) -> list[str]:
    """SCORES, the best told apart first."""
    return sorted(SCORES, key=lambda each: -openset.auroc(half.known[each], half.strangers[each]))


def measure(halves: Halves, threshold: Threshold) -> dict[str, Any]:
    """What is written to metrics/unknown.json; `threshold` has a score."""
    setting, measuring = halves.setting, halves.measuring
    chosen, following = str(threshold.score), ranking(setting)
    following.remove(chosen)
    one, other = ((measuring.known[s], measuring.strangers[s]) for s in (chosen, following[0]))
    ahead = openset.difference(one, other, measuring.labels, measuring.identities)
    answers = measuring.probabilities.argmax(1) == measuring.labels
    accepted = measuring.known[chosen] > threshold.value
    candidates = measuring.probabilities >= threshold.floor
    held = candidates[range(len(measuring.labels)), measuring.labels]
    found: dict[str, Any] = _rounded(
        {
            "experiment": threshold.experiment,
            "score": chosen,
            "far": threshold.far,
            "strangers": {
                "setting": setting.identity_count,
                "measuring": measuring.identity_count,
                "images": len(setting.identities) + len(measuring.identities),
                "resolution": openset.resolution(len(setting.identities)),
                "resolution_by_identity": openset.resolution(setting.identity_count),
            },
            "scores": {name: _of_score(halves, name, threshold.far) for name in SCORES},
            "ahead": {"of": following[0], **asdict(ahead)},
            "accepted": {
                "coverage": float(accepted.mean()),
                "accuracy": float(answers[accepted].mean()) if accepted.any() else 0.0,
                "named_rightly": float((accepted & answers).mean()),
            },
            "candidates": {
                "level": threshold.level,
                "floor": threshold.floor,
                "mean_size": float(candidates.sum(1).mean()),
                **_interval("coverage", wilson(int(held.sum()), len(held))),
            },
        }
    )
    return found


def _of_score(halves: Halves, name: str, far: float) -> dict[str, float]:
    """One score with the threshold that it would have."""
    setting, measuring = halves.setting, halves.measuring
    value = openset.conservative_threshold(setting.strangers[name], far)
    known, strangers = measuring.known[name], measuring.strangers[name]
    rejected = known <= value
    return {
        "threshold": value,
        "auroc_validation": openset.auroc(setting.known[name], setting.strangers[name]),
        "auroc": openset.auroc(known, strangers),
        **_interval("far", openset.by_identity(strangers > value, measuring.identities)),
        **_interval("frr", wilson(int(rejected.sum()), len(rejected))),
    }


def _interval(name: str, share: Proportion) -> dict[str, float]:
    return {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value
