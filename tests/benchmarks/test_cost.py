"""The floor's arithmetic, against PyTorch's own counter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from src.models.convolutions import torchs_convolutions
from src.models.flops import forward_flops
from src.models.network import ModelSpec, Network
from src.models.trainable import trained_blocks, unfreeze
from src.training.cost import epoch_flops, matrix_rate
from tests.benchmarks.projects import job_of
from tests.training.conftest import CPU32


def test_resnet18_costs_what_its_authors_say() -> None:
    """1.8 x 10^9 multiply-adds at 224 pixels (He et al., 2015, table 1)."""
    network = Network(
        ModelSpec(
            backbone="resnet18",
            stem="standard",
            image_size=224,
            subjects=tuple(map(str, range(1000))),
        )
    )
    assert forward_flops(network, 224) / 2 == pytest.approx(1.8e9, rel=0.02)


def test_an_epoch_of_everything_costs_what_pytorch_counts(project: Path) -> None:
    job = job_of("ModelC", project)
    network = job.network().train()
    with FlopCounterMode(display=False) as training, torchs_convolutions():
        network(torch.randn(24, 3, 16, 16)).sum().backward()
    with FlopCounterMode(display=False) as validation, torch.no_grad():
        network.eval()(torch.randn(8, 3, 16, 16))
    counted = training.get_total_flops() + validation.get_total_flops()
    assert epoch_flops(job) == pytest.approx(counted, rel=1e-9)


def test_a_frozen_prefix_runs_once_for_both_views(project: Path) -> None:
    job = job_of("ModelA", project)
    network = job.network()
    trained = trained_blocks(network, job.experiment.train, job.recipe)
    unfreeze(network, trained, "freeze")
    last = len(network.blocks) - 1
    with FlopCounterMode(display=False) as once, torch.no_grad():
        below = network.run(torch.randn(2 * 24 + 8, 3, 16, 16), 0, last)
    with FlopCounterMode(display=False) as each:
        network(below[:24], last).sum().backward()
        with torch.no_grad():
            network(below[:8], last)
    counted = once.get_total_flops() / job.experiment.epochs + each.get_total_flops()
    assert epoch_flops(job) == pytest.approx(counted, rel=1e-9)


def test_the_matrix_rate_is_within_what_machines_do() -> None:
    assert 1e8 < matrix_rate(CPU32) < 1e14
