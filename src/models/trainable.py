"""Which parameters train, and what BatchNorm does in frozen blocks.

The modes, for frozen blocks:
  adapt        batch statistics; running statistics drift. Scale and shift are trained nowhere,
               not even in unfrozen blocks: the published system's way.
  freeze       running statistics are used and never change.
  recalibrate  as freeze, after re-estimating them once on the training images.
  train        as in unfrozen blocks: batch statistics, scale and shift trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from torch import nn

from src.config import Recipe
from src.models.network import Network, Norm


def resolve_blocks(network: Network, train: tuple[str, ...]) -> frozenset[str]:
    """The names of the blocks that train, with `all` expanded."""
    return frozenset((*network.blocks, "head") if "all" in train else train)


def trained_blocks(network: Network, train: tuple[str, ...], recipe: Recipe) -> frozenset[str]:
    """The blocks that train: those asked for, less those whose learning rate is 0."""
    rates = block_rates(network, recipe)
    return frozenset(name for name in resolve_blocks(network, train) if rates[name] > 0)


def unfrozen(trained: frozenset[str], recipe: Recipe, epoch: int) -> frozenset[str]:
    """Those of the blocks that train which do in `epoch`, counted from 1.

    Gradual unfreezing: Howard and Ruder, 2018. Freezing from below: Brock et al., 2017 (FreezeOut).
    """
    return frozenset(name for name in trained if recipe.trains_in(name, epoch))


@dataclass(frozen=True)
class Phase:
    """Epochs in a row that train the same blocks.

    stop: the first `stop` blocks are frozen in them. untouched: so many of these have not trained
    in an earlier phase either. pays: whether there are at least as many epochs as it takes passes
    over the training images to cache the inputs of block `stop`.
    """

    trained: frozenset[str]
    stop: int
    untouched: int
    epochs: int
    pays: bool


def phases(
    network: Network, trained: frozenset[str], recipe: Recipe, epochs: int
) -> tuple[Phase, ...]:
    """The phases of a training, one unless the recipe unfreezes or freezes blocks on its way."""
    by_epoch = (unfrozen(trained, recipe, number) for number in range(1, epochs + 1))
    found, untouched = [], len(network.blocks)
    for blocks, same in groupby(by_epoch):
        stop, count = frozen_prefix(network, blocks, recipe.batchnorm), len([*same])
        untouched = min(untouched, stop)
        found.append(Phase(blocks, stop, untouched, count, count >= recipe.training_views))
    return tuple(found)


def block_rates(network: Network, recipe: Recipe) -> dict[str, float]:
    """The learning rate of each block: rate x multiplier x layer decay per block below the head.

    The multiplier `base` is that of every block under the head which has none of its own.
    Layer-wise decay: Howard and Ruder, 2018 (ULMFiT's discriminative fine-tuning).
    """
    depth = len(network.blocks)
    factors = dict.fromkeys(network.blocks, recipe.multipliers.get("base", 1.0))
    factors |= recipe.multipliers
    return {
        name: recipe.learning_rate * factors.get(name, 1.0) * recipe.layer_decay ** (depth - index)
        for index, name in enumerate((*network.blocks, "head"))
    }


def unfreeze(network: Network, trained: frozenset[str], batchnorm: str) -> None:
    """Set `requires_grad` of every parameter."""
    for name in (*network.blocks, "head"):
        for module in _modules(network, name):
            norm = isinstance(module, Norm)
            trains = batchnorm == "train" if norm and name not in trained else name in trained
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(trains and not (norm and batchnorm == "adapt"))


def training_mode(network: Network, trained: frozenset[str], batchnorm: str) -> None:
    """Put the network in training mode, except frozen blocks whose statistics must not change."""
    network.train()
    if batchnorm in ("freeze", "recalibrate"):
        for name in frozenset(network.blocks) - trained:
            for module in network.block(name):
                module.eval()


def frozen_prefix(network: Network, trained: frozenset[str], batchnorm: str) -> int:
    """The number of leading blocks whose output is constant during training."""
    if batchnorm not in ("freeze", "recalibrate"):
        return 0
    flags = [name in trained for name in network.blocks]
    return flags.index(True) if any(flags) else len(flags)


def _modules(network: Network, name: str) -> list[nn.Module]:
    return [module for top in network.block(name) for module in top.modules()]
