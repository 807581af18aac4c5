"""torchvision's weights are what was published, whatever lies where torch keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.models import ResNet18_Weights

from src.errors import WeightsError
from src.files import digest
from src.models.pretrained import imagenet_weights

PUBLISHED = ResNet18_Weights.IMAGENET1K_V1


class Payload:
    """What runs code where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch looks for the file before it downloads it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder / PUBLISHED.url.rsplit("/", 1)[-1]


def publish(content: object, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let torchvision name a file of `content` in `folder`, with its hash, for a download."""
    torch.save(content, folder / "w.pth")
    name = f"resnet18-{digest(folder / 'w.pth', 'sha256')[:8]}.pth"
    file = (folder / "w.pth").rename(folder / name)
    patch.setattr(PUBLISHED.value, "url", file.as_uri())
    return file


def refused() -> str:
    with pytest.raises(WeightsError) as caught:
        imagenet_weights("resnet18")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_are_downloaded_once_and_read_as_they_were_published(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.parent.rmdir()  # as on the first download of all
    state = torchvision.models.resnet18().state_dict()
    file = publish(state, tmp_path, monkeypatch)
    for _ in range(2):
        source = imagenet_weights("resnet18")
        assert source.origin == f"imagenet ({file.name})"
        assert all(torch.equal(tensor, state[name]) for name, tensor in source.state.items())
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("content", ["code", "cut", "weights", "folder"])
def test_another_file_in_place_of_the_published_one_is_refused_and_no_code_in_it_run(
    kept: Path, tmp_path: Path, content: str
) -> None:
    if content == "folder":
        kept.mkdir()
    else:
        code = Payload(tmp_path / "ran")
        torch.save(code if content == "code" else {"conv1.weight": torch.ones(2)}, kept)
    if content == "cut":
        kept.write_bytes(kept.read_bytes()[:-300])
    message = refused()
    assert message.startswith(f"{kept}: ") and "f37072fd" in message
    assert message.endswith("; remove it and run the command again")
    assert not (tmp_path / "ran").exists()


def test_code_in_a_file_whose_hash_agrees_is_not_run(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(Payload(tmp_path / "ran"), tmp_path, monkeypatch)
    assert "nor a checkpoint that holds only weights" in refused()
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_downloaded_or_is_damaged_on_the_way_is_said_to_need_a_network(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = publish({}, tmp_path, monkeypatch)
    file.write_bytes(b"damaged")
    assert "could not be downloaded (invalid hash" in refused()
    file.unlink()
    assert "could not be downloaded" in refused()
    assert not [*kept.parent.iterdir()]
