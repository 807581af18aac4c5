"""Which blocks an experiment trains: a learning rate of 0 freezes what `train` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.config import Experiment, Params, Recipe

if TYPE_CHECKING:
    from src.models.network import Network


def unfrozen_blocks(params: Params) -> dict[str, tuple[str, ...]]:
    """Experiment to the blocks below its head that it trains; `all` where that is every one."""
    lasts = {each.features for each in params.experiments.values()}
    networks = {last: _network(params, last) for last in lasts}
    return {
        name: _unfrozen(networks[each.features], each, params.recipe_of(name))
        for name, each in params.experiments.items()
    }


def _unfrozen(network: Network, experiment: Experiment, recipe: Recipe) -> tuple[str, ...]:
    from src.models.trainable import trained_blocks

    trained = trained_blocks(network, experiment.train, recipe)
    found = tuple(block for block in network.blocks if block in trained)
    return ("all",) if found == network.blocks else found


def _network(params: Params, last: str | None) -> Network:
    """The layers up to block `last`, without values and for any one subject."""
    from src.models.network import ModelSpec, Network
    from src.models.uninitialized import without_values

    spec = ModelSpec(
        backbone=params.model.backbone,
        stem=params.model.stem,
        image_size=params.data.image_size,
        subjects=("any",),
        last=last,
    )
    with without_values():
        return Network(spec)
