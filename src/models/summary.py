"""The layer table of an experiment's network: `python -m src.models.summary --experiment ModelA`.

Receptive fields are computed from the network as it runs, not from a table of strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from src import cli
from src.config import load_params
from src.models.network import ModelSpec, Network
from src.models.trainable import trained_blocks, unfreeze

Windowed = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Layer:
    """One convolution, pooling or head's layer; `receptive_field` in pixels of the image."""

    name: str
    kind: str
    kernel: int | None
    stride: int | None
    padding: int | None
    feature_map: tuple[int, ...]
    weights: int
    receptive_field: int | None


def layers(network: Network, image_size: int) -> list[Layer]:
    """Every layer that has weights or a window, and every head, in the order in which it runs.

    A window of k pixels grows the receptive field by (k - 1) x jump and a stride of s multiplies
    the jump (Araujo et al., 2019); a branch starts from the field of the tensor it reads.
    """
    found: list[Layer] = []
    fields: dict[int, tuple[int, int]] = {}  # of each tensor: receptive field, jump
    alive: list[Tensor] = []  # so that no number of a tensor is given twice
    latest = (1, 1)

    def visit(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal latest
        field, jump = fields.get(id(inputs[0]), latest)
        if isinstance(module, Windowed):
            kernel, stride = _side(module.kernel_size), _side(module.stride)
            field, jump = field + (kernel - 1) * jump, jump * stride
            padding = _side(module.padding)
            found.append(_layer(name, module, kernel, stride, padding, output, field))
        elif isinstance(module, nn.Linear) or module is network.head:
            found.append(_layer(name, module, None, None, None, output, None))
        latest = fields[id(output)] = (field, jump)
        alive.append(output)

    hooks = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: visit(name, module, inputs, output)
        )
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        image = torch.zeros(1, 3, image_size, image_size)
        fields[id(image)] = (1, 1)
        network.eval()(image)
    for hook in hooks:
        hook.remove()
    return found


def _layer(
    name: str,
    module: nn.Module,
    kernel: int | None,
    stride: int | None,
    padding: int | None,
    output: Tensor,
    field: int | None,
) -> Layer:
    weights = sum(parameter.numel() for parameter in module.parameters())
    shape = tuple(output.shape[1:])
    return Layer(name, type(module).__name__, kernel, stride, padding, shape, weights, field)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, tuple) else size)


def layer_table(spec: ModelSpec, trained: frozenset[str]) -> str:
    """The layers of a network as a text table, with the parameter counts and which layers train."""
    network = Network(spec)
    trained_modules = {
        id(module) for name in trained for top in network.block(name) for module in top.modules()
    }
    lines = [
        f"{'layer':<26}{'kernel':>7}{'stride':>7}{'pad':>5}{'feature map':>14}"
        f"{'weights':>11}{'field':>7}  trains"
    ]
    for layer in layers(network, spec.input_size):
        shape = "x".join(map(str, layer.feature_map))
        window = [_shown(v) for v in (layer.kernel, layer.stride, layer.padding)]
        trains = id(network.get_submodule(layer.name)) in trained_modules and layer.weights
        field = _shown(layer.receptive_field)
        whole_head = network.get_submodule(layer.name) is network.head
        named = whole_head and spec.head.kind != "mlp"
        name = f"{layer.name} ({spec.head.kind})" if named else layer.name
        line = (
            f"{name:<26}{window[0]:>7}{window[1]:>7}{window[2]:>5}{shape:>14}"
            f"{layer.weights:>11,}{field:>7}  {'yes' if trains else ''}"
        )
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table and the parameter counts of one configured experiment."""
    parser = cli.parser(
        "src.models.summary",
        "Print the layer table of an experiment: windows, feature maps, weights, receptive fields.",
        "  python -m src.models.summary --experiment ModelA\n"
        "  python -m src.models.summary --experiment Baseline --classes 100",
    )
    parser.add_argument("--experiment", default="Baseline", help="a name under `experiments`")
    parser.add_argument("--classes", type=int, default=100, help="subjects to tell apart")
    options = parser.parse_args(argv)
    if options.classes < 1:
        parser.error("--classes is below 1; give the number of subjects")
    params = load_params()
    experiment, recipe = params.experiment(options.experiment), params.recipe_of(options.experiment)
    spec = ModelSpec(
        backbone=params.model.backbone,
        stem=params.model.stem,
        image_size=params.data.image_size,
        subjects=tuple(map(str, range(options.classes))),
        head=experiment.head,
        crop=recipe.augment.input_size,
        last=experiment.features,
        stored=1,  # how many it is shows nowhere, and is not known before training
    )
    network = Network(spec)
    trained = trained_blocks(network, experiment.train, recipe)
    unfreeze(network, trained, recipe.batchnorm)
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    total, trains = sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
    print(layer_table(spec, trained))
    print(f"{total:,} parameters: {trains:,} trainable, {total - trains:,} frozen")


if __name__ == "__main__":
    cli.run(main)
