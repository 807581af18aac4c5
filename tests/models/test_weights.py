"""Source weights are loaded whole, or refused naming the tensors that differ."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from src.errors import WeightsError
from src.models.network import ModelSpec, Network
from src.models.pretrained import file_weights
from src.models.weights import SourceWeights, load_source, random_weights


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
    network = Network(
        ModelSpec(backbone="resnet18", stem="stride1", image_size=32, subjects=("a", "b"))
    )
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


@pytest.mark.parametrize(
    "content",
    [{0: torch.ones(3)}, {"conv1.weight": 1}, {"state_dict": 7}, [torch.ones(3)]],
    ids=str,
)
def test_a_checkpoint_of_anything_but_named_tensors_is_refused(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="holds no state_dict; save a state_dict of named"):
        file_weights(tmp_path / "w.pt", "resnet18")


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


def test_weights_of_another_backbone_are_refused_with_both_names() -> None:
    network = Network(
        ModelSpec(backbone="resnet34", stem="standard", image_size=32, subjects=("a", "b"))
    )
    with pytest.raises(WeightsError, match=r"of a resnet18\b.*\bresnet34\b.*model\.backbone"):
        load_source(network, random_weights("resnet18", 0))


def test_a_forged_backbone_name_is_refused_with_the_tensors_that_are_missing(
    tmp_path: Path,
) -> None:
    forged = replace(random_weights("resnet18", 0), backbone="resnet34")
    network = Network(
        ModelSpec(backbone="resnet34", stem="standard", image_size=32, subjects=("a", "b"))
    )
    named = r"missing: layer1\.2\.bn1\.bias.* and \d+ more"
    with pytest.raises(WeightsError, match=named):
        load_source(network, forged)
    forged.save(tmp_path / "source.safetensors")
    with pytest.raises(WeightsError, match=named):
        SourceWeights.load(tmp_path / "source.safetensors")


def test_a_refused_source_leaves_the_network_unchanged() -> None:
    network = Network(
        ModelSpec(backbone="resnet18", stem="standard", image_size=32, subjects=("a", "b"))
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    source = random_weights("resnet18", 0)
    partial = {"conv1.weight": source.state["conv1.weight"]}
    with pytest.raises(WeightsError, match=r"missing: bn1\.bias"):
        load_source(network, replace(source, state=partial))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda s: {"conv1.weight": s["conv1.weight"]}, r"missing: bn1\.bias"),
        (lambda s: s | {"extra.weight": torch.ones(1)}, r"unknown: extra\.weight"),
        (lambda s: s | {"bn1.bias": torch.ones(2)}, r"another shape: bn1\.bias"),
        (lambda s: s | {"bn1.bias": torch.full((64,), torch.inf)}, r"not finite: bn1\.bias"),
    ],
)
def test_a_source_file_that_is_not_a_whole_backbone_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], named: str
) -> None:
    source = random_weights("resnet18", 0)
    replace(source, state=spoil(dict(source.state))).save(tmp_path / "source.safetensors")
    with pytest.raises(WeightsError, match=named) as caught:
        SourceWeights.load(tmp_path / "source.safetensors")
    assert "dvc repro weights" in str(caught.value)


def test_a_network_with_fewer_blocks_takes_its_part_of_the_source() -> None:
    source = random_weights("resnet18", 0)
    network = Network(
        ModelSpec(
            backbone="resnet18", stem="standard", image_size=32, subjects=("a", "b"), last="conv3_x"
        )
    )
    load_source(network, source)
    taken = {name for name in network.state_dict() if not name.startswith("fc.")}
    assert taken < source.state.keys()
    assert all(torch.equal(network.state_dict()[name], source.state[name]) for name in taken)


@pytest.mark.parametrize("key", ["licence", "license"])
def test_the_licence_of_a_file_is_read_from_its_metadata(
    state: dict[str, torch.Tensor], tmp_path: Path, key: str
) -> None:
    metadata = {key: "CC-BY-4.0", "source": "an archive"}
    save_file(state, tmp_path / "w.safetensors", metadata=metadata)
    assert file_weights(tmp_path / "w.safetensors", "resnet18").licence == "CC-BY-4.0"


def test_a_file_without_a_licence_has_licence_unknown(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "w.pt")
    assert file_weights(tmp_path / "w.pt", "resnet18").licence == "unknown"


def test_a_source_of_another_project_keeps_its_statistics_and_licence(tmp_path: Path) -> None:
    source = replace(
        random_weights("resnet18", 0),
        licence="MIT",
        mean=(0.1, 0.2, 0.3),
        deviation=(1.0, 2.0, 3.0),
    )
    source.save(tmp_path / "w.safetensors")
    taken = file_weights(tmp_path / "w.safetensors", "resnet18")
    assert (taken.mean, taken.deviation) == (source.mean, source.deviation)
    assert taken.licence == "MIT"
    assert "sha256" in taken.origin


def test_a_layout_is_that_of_a_real_network_and_imports_no_compiler() -> None:
    program = """
import sys
from src.models.network import build_backbone
from src.models.weights import layout_of
real = build_backbone("resnet18", "standard").state_dict()
print({k: (v.shape, v.dtype) for k, v in layout_of("resnet18").items()}
      == {k: (v.shape, v.dtype) for k, v in real.items()}, "torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
