"""The claims of a literature study, checked against trained networks, curves and predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src import paths
from src.config import Claim, load_params
from src.models.network import ModelSpec, Network, save_network
from src.report.inputs import ReportInputs
from src.report.literature import check_claim
from tests import fabricate


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    root = tmp_path_factory.mktemp("literature")
    fabricate.write_project(root, fabricate.faces())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return ReportInputs.load(load_params())


def test_networks_are_the_same_only_if_every_tensor_is(
    inputs: ReportInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec(
        backbone="resnet18", stem="standard", image_size=32, subjects=fabricate.SUBJECTS
    )
    network = Network(spec)
    claim = Claim(says="any", same=("ModelA", "ModelC"))
    for name in ("ModelA", "ModelC"):
        save_network(paths.model(name), network.state_dict(), spec)
    assert check_claim(claim, inputs).verdict == "holds"
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] += 1
    save_network(paths.model("ModelC"), network.state_dict(), spec)
    verdict = check_claim(claim, inputs)
    assert verdict.verdict == "fails"
    assert verdict.found.startswith("1 of 122 tensors")


@pytest.mark.parametrize(
    ("pair", "verdict"),
    [(("ModelA", "Baseline"), "holds"), (("Baseline", "ModelA"), "fails")],
)
def test_sooner_and_better_depend_on_the_order_of_the_two(
    pair: tuple[str, str], verdict: str, inputs: ReportInputs
) -> None:
    assert check_claim(Claim(says="any", sooner=pair), inputs).verdict == verdict
    assert check_claim(Claim(says="any", better=pair), inputs).verdict == verdict


def test_a_difference_that_chance_can_explain_decides_nothing(inputs: ReportInputs) -> None:
    verdict = check_claim(Claim(says="any", better=("ModelA", "ModelC")), inputs)
    assert verdict.verdict == "is undecided"
    assert "exact McNemar test; one network each" in verdict.found


def test_the_side_with_one_network_is_named(inputs: ReportInputs) -> None:
    made = inputs.predictions
    several = replace(made, logits=made.logits | {"ModelA": made.logits["ModelA"].repeat(3, 0)})
    claim = Claim(says="any", better=("ModelA", "ModelC"))
    found = check_claim(claim, replace(inputs, predictions=several)).found
    assert "t test over seeds and images; one network of ModelC" in found
