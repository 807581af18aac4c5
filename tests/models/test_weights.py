"""Source weights: taken whole and by name, or refused with the names that differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from src.errors import WeightsError
from src.models.network import ModelSpec, Network
from src.models.weights import SourceWeights, file_weights, load_source, random_weights


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=7).state_dict()


def test_safetensors_and_checkpoints_give_the_same_weights(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(
        {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
        tmp_path / "w.safetensors",
    )
    torch.save({"state_dict": {n: t.half() for n, t in state.items()}}, tmp_path / "w.pt")
    first, second = (
        file_weights(tmp_path / name, "resnet18") for name in ("w.safetensors", "w.pt")
    )
    assert first.state.keys() == second.state.keys()
    for name, tensor in first.state.items():
        assert torch.equal(tensor, second.state[name])
        assert tensor.dtype == state[name].dtype
    assert "sha256" in first.origin


def test_source_weights_enter_a_stride1_network_untouched(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(state, tmp_path / "w.safetensors")
    network = Network(ModelSpec("resnet18", "stride1", 32, ("a", "b")))
    load_source(network, file_weights(tmp_path / "w.safetensors", "resnet18"))
    for name, tensor in network.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(tensor, state[name])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: s.pop("layer4.1.conv2.weight"), r"missing: layer4\.1\.conv2\.weight"),
        (lambda s: s.update({"extra.weight": torch.ones(1)}), r"unknown: extra\.weight"),
        (lambda s: s.update({"conv1.weight": torch.ones(2)}), r"another shape: conv1\.weight"),
        (lambda s: s["conv1.weight"].fill_(float("nan")), r"not finite: conv1\.weight"),
    ],
)
def test_a_wrong_or_partial_file_is_refused_with_the_names_that_differ(
    state: dict[str, torch.Tensor], tmp_path: Path, spoil: object, named: str
) -> None:
    wrong = {name: tensor.clone() for name, tensor in state.items()}
    spoil(wrong)  # type: ignore[operator]
    save_file(wrong, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=named) as caught:
        file_weights(tmp_path / "w.safetensors", "resnet18")
    assert "\n" not in str(caught.value)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w').close()",)

    torch.save({"state_dict": Payload()}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="neither safetensors nor a checkpoint"):
        file_weights(tmp_path / "w.pt", "resnet18")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", b"junk" * 99])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        file_weights(tmp_path / name, "resnet18")


def test_scratch_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = random_weights("resnet18", 5)
    torch.manual_seed(2)
    second = random_weights("resnet18", 5)
    assert all(torch.equal(t, second.state[n]) for n, t in first.state.items())
    first.save(tmp_path / "source.safetensors")
    loaded = SourceWeights.load(tmp_path / "source.safetensors")
    assert loaded.mean == first.mean and loaded.origin == "scratch"
