"""Networks that have blocks in common answer as each would alone, and the blocks run once."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.config import Head
from src.evaluation.inference import shared_logits
from src.models.classifier import Classifier
from src.models.network import ModelSpec, Network, save_network
from src.models.seeds import save_seed_states

CPU = torch.device("cpu")
IMAGES = torch.randint(
    256, (150, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


def classifier(spec: ModelSpec, seed: int = 0) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(spec)
    return Classifier(network.eval().to(memory_format=torch.channels_last), spec)


def spec(hidden: tuple[int, ...] = ()) -> ModelSpec:
    return ModelSpec(
        backbone="resnet18",
        stem="standard",
        image_size=16,
        subjects=("a", "b", "c"),
        head=Head(hidden=hidden, dropout=(0.5,) * len(hidden)),
    )


@pytest.fixture(scope="module")
def family() -> dict[str, Classifier]:
    """One backbone under two heads, once with its last block changed, once with other scaling."""
    members = {
        "linear": classifier(spec()),
        "mlp": classifier(spec(hidden=(8,))),
        "unfrozen": classifier(spec()),
        "scaled": classifier(replace(spec(), mean=(0.5, 0.5, 0.5))),
        "drifted": classifier(spec()),
    }
    with torch.no_grad():
        next(members["unfrozen"].network.block("conv5_x")[0].parameters()).mul_(1.5)
        members["drifted"].network.get_buffer("bn1.running_mean").add_(0.1)
    return members


def test_logits_are_those_of_each_network_alone(family: dict[str, Classifier]) -> None:
    others = {
        "stretched": classifier(replace(spec(), deviation=(0.5, 0.5, 0.5))),
        "cropped": classifier(replace(spec(), crop=12)),
    }
    members = family | others
    found = shared_logits({name: [member] for name, member in members.items()}, IMAGES, CPU)
    assert tuple(found) == tuple(members)
    for name, member in members.items():
        torch.testing.assert_close(found[name][0], member.logits(IMAGES), rtol=0, atol=0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The block that each run of a network starts with."""
    starts: list[int] = []
    plain = Network.run

    def counted(network: Network, x: Tensor, start: int, stop: int) -> Tensor:
        starts.append(start)
        return plain(network, x, start, stop)

    monkeypatch.setattr(Network, "run", counted)
    return starts


def test_a_common_block_runs_once_a_batch(family: dict[str, Classifier], runs: list[int]) -> None:
    names = ("linear", "mlp", "unfrozen")
    shared_logits({name: [family[name]] for name in names}, IMAGES[:10], CPU)
    assert runs == [0, 1, 2, 3, 4, 4]


def test_seven_heads_with_five_seeds_each_cost_one_pass_of_the_backbone(
    family: dict[str, Classifier], runs: list[int], tmp_path: Path
) -> None:
    """Read from files, as the stage reads them; only the heads of the seeds differ."""
    first = family["linear"]
    state = first.network.state_dict()
    others = [
        {**state, "fc.weight": state["fc.weight"] + place, "fc.bias": state["fc.bias"] - place}
        for place in range(1, 5)
    ]
    save_network(tmp_path / "first", state, first.spec)
    save_seed_states(tmp_path / "further", range(5), state, others)
    seeds = Classifier.load_seeds(tmp_path / "first", tmp_path / "further")
    assert len({seed.network.get_parameter("conv1.weight").data_ptr() for seed in seeds}) == 1
    found = shared_logits({f"row {row}": seeds for row in range(7)}, IMAGES[:10], CPU)
    assert runs == [0, 1, 2, 3, 4]
    for place, seed in enumerate(seeds):
        torch.testing.assert_close(found["row 6"][place], seed.logits(IMAGES[:10]), rtol=0, atol=0)
    assert not torch.equal(found["row 6"][0], found["row 6"][1])


def test_outputs_that_no_other_network_goes_on_from_are_not_kept(
    family: dict[str, Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, made, alive = Network.run, [], []

    def watched(network: Network, x: Tensor, start: int, stop: int) -> Tensor:
        output = plain(network, x, start, stop)
        made.append(weakref.ref(output))
        alive.append(sum(each() is not None for each in made))
        return output

    monkeypatch.setattr(Network, "run", watched)
    shared_logits({name: [member] for name, member in family.items()}, IMAGES, CPU)
    # What `mlp` and `unfrozen` go on from, the block that runs, the one before it, and the features
    # of the network before.
    assert max(alive) == 5
