"""Rendered faces to cross-validate."""

from __future__ import annotations

import pytest
import torch

from src.config import Params, load_params
from src.data.faceset import FaceSet
from src.data.synthetic.render import render_subjects
from tests.shipped import SHIPPED

SUBJECTS, EACH = 4, 9


@pytest.fixture(scope="session")
def params() -> Params:
    """The shipped parameters for images of 32 pixels."""
    shipped = load_params(SHIPPED / "params.yaml")
    data = shipped.data.model_copy(update={"image_size": 32})
    return shipped.model_copy(update={"data": data})


@pytest.fixture(scope="session")
def rendered() -> FaceSet:
    """Four rendered subjects with nine images each, seven for training and two for testing."""
    images = torch.from_numpy(render_subjects(SUBJECTS, EACH, 32, 3))
    split = torch.tensor([0] * 6 + [1] + [2] * 2, dtype=torch.uint8).repeat(SUBJECTS)
    labels = torch.arange(SUBJECTS).repeat_interleave(EACH)
    return FaceSet(images.permute(0, 3, 1, 2).contiguous(), labels, split, tuple("abcd"))
