"""The scores that tell strangers from subjects take memory by images and subjects alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from src.models.threshold import known_scores

IMAGES, SUBJECTS, WIDTH = 24, 40, 16


class Largest(TorchDispatchMode):
    """Counts the values of the largest tensor that is made, or shown as if it were made."""

    values = 0

    def __torch_dispatch__(
        self, called: Any, _types: Any, args: Any = (), named: Any = None
    ) -> object:
        made = called(*args, **(named or {}))
        if isinstance(made, Tensor):
            self.values = max(self.values, made.numel())
        return made


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def test_no_score_compares_all_images_with_all_subjects_feature_by_feature() -> None:
    given = drawn(IMAGES, SUBJECTS), drawn(IMAGES, WIDTH), 1.0, drawn(SUBJECTS, WIDTH)
    with Largest() as largest:
        known_scores(*given)
    assert largest.values <= IMAGES * SUBJECTS


def test_the_distance_is_the_largest_cosine_seen_from_the_middle_of_the_means() -> None:
    features, means = drawn(IMAGES, WIDTH), drawn(SUBJECTS, WIDTH)
    found = known_scores(drawn(IMAGES, SUBJECTS), features, 1.0, means)["distance"]
    middle = means.double().mean(0)
    for image, score in zip(features.double(), found, strict=True):
        each = functional.cosine_similarity((image - middle)[None], means.double() - middle)
        torch.testing.assert_close(score, each.max(), rtol=0, atol=1e-12)
