"""The cost of training, against counts that use neither PyTorch's counter nor the engine."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from src.config import PARAMS, Experiment, Head, Params, load_params
from src.data.faceset import Split
from src.models.network import build_backbone
from src.report import formats
from src.report.cost import training_flops
from tests import fabricate
from tests.shipped import SHIPPED

FACES = fabricate.faces()
TRAIN, VAL = (len(FACES.rows(split)) for split in (Split.train, Split.val))
WIDTH, CLASSES = 512, len(FACES.subjects)


def project(experiment: Experiment, *, flip: bool) -> Params:
    """The shipped settings with one experiment, whose recipe mirrors images or does not."""
    params = load_params(SHIPPED / PARAMS)
    recipe = params.recipes[params.recipe].model_copy(update={"flip": flip})
    changed = {"experiments": {"A": experiment}, "recipes": {params.recipe: recipe}}
    return params.model_copy(update=changed)


def cost(experiment: Experiment, *, flip: bool = False, epochs: int | None = None) -> float:
    ran = {"A": epochs or experiment.epochs}
    return training_flops(project(experiment, flip=flip), FACES, ran)["A"]


def convolution_flops() -> float:
    """Two for each product of each output of each convolution, for one image."""
    params = load_params(SHIPPED / PARAMS)
    network = build_backbone(params.model.backbone, params.model.stem).eval()
    counted: list[int] = []

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        height, width = module.kernel_size
        counted.append(2 * output.numel() * module.in_channels * height * width)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(FACES.images[:1].float())
    return sum(counted)


@pytest.mark.parametrize("flip", [False, True])
def test_a_linear_head_costs_its_closed_form_on_images_that_pass_the_network_once(
    flip: bool,
) -> None:
    experiment = Experiment(train=("head",), batch_size=8, epochs=7)
    views = 2 if flip else 1
    once = convolution_flops() * (views * TRAIN + VAL)
    product = 2 * WIDTH * CLASSES  # forward, and again for the gradient of the weights
    assert cost(experiment, flip=flip) == pytest.approx(once + 7 * product * (2 * TRAIN + VAL))


def test_a_row_that_stopped_early_costs_the_epochs_that_it_ran() -> None:
    experiment = Experiment(train=("head",), batch_size=8, epochs=7)
    saved = cost(experiment) - cost(experiment, epochs=3)
    assert saved == pytest.approx(4 * 2 * WIDTH * CLASSES * (2 * TRAIN + VAL))


def test_training_everything_costs_three_times_forward_less_the_gradient_of_the_image() -> None:
    experiment = Experiment(train=("all",), batch_size=8, epochs=2)
    forward = convolution_flops() + 2 * WIDTH * CLASSES
    assert 2.8 < (cost(experiment) / 2 - forward * VAL) / (forward * TRAIN) < 3


@pytest.mark.parametrize("kind", ["svm", "logistic", "centroid", "knn"])
def test_a_classical_head_costs_at_least_what_the_network_computes_for_it(kind: str) -> None:
    experiment = Experiment(train=("head",), head=Head(kind=kind), batch_size=8, epochs=1)
    once = convolution_flops() * (TRAIN + VAL)
    assert once <= cost(experiment) < 1.01 * once


@pytest.mark.parametrize(
    ("flops", "text"),
    [(999.0, "999"), (2.5e6, "2.5 M"), (999.9e6, "1 G"), (24.3e9, "24.3 G"), (1.25e15, "1.25 P")],
)
def test_costs_are_short(flops: float, text: str) -> None:
    assert formats.flops(flops) == text
