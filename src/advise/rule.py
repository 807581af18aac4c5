"""From a situation to a ranking: the four-quadrant rule, refined by where the probes are best.

The rule is that of transfer learning's course notes (Karpathy, CS231n): with few images near the
source train only the head, with few far from it the last blocks, with many everything. How many
last blocks is read from the probes: features grow specific to the source with depth (Yosinski
et al., 2014), so what lies above the best-probing block is worth training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from src.advise.situation import FEW, NEAR, Situation

Strategy = Literal["head", "last blocks", "everything", "from scratch"]

RULE: Mapping[tuple[bool, bool], tuple[Strategy, ...]] = {  # (small, similar) to best first
    (True, True): ("head", "last blocks", "everything", "from scratch"),
    (True, False): ("last blocks", "everything", "head", "from scratch"),
    (False, True): ("everything", "last blocks", "head", "from scratch"),
    (False, False): ("everything", "last blocks", "from scratch", "head"),
}


@dataclass(frozen=True)
class Candidate:
    """An experiment that could be run. `seconds` is what its training should cost here."""

    name: str
    strategy: Strategy
    unfrozen: tuple[str, ...]  # blocks that train below the head
    parameters: int  # that train
    seconds: float


def strategy_of(unfrozen: Sequence[str], blocks: Sequence[str], scratch: bool) -> Strategy:
    """Which of the rule's strategies trains `unfrozen` of a network's `blocks`."""
    if scratch:
        return "from scratch"
    if not unfrozen:
        return "head"
    return "everything" if len(unfrozen) == len(blocks) else "last blocks"


def rank(situation: Situation, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates from the most to the least promising.

    Strategies in the rule's order; last blocks by how near their number is to the probes';
    then, where images are few, fewer parameters first, else more.
    """
    order = RULE[situation.small, situation.similar]
    above = blocks_above(situation)

    def key(candidate: Candidate) -> tuple[int, int, int]:
        apart = abs(len(candidate.unfrozen) - len(above))
        weights = candidate.parameters if situation.small else -candidate.parameters
        last = apart if candidate.strategy == "last blocks" else 0
        return order.index(candidate.strategy), last, weights

    return tuple(sorted(candidates, key=key))


def blocks_above(situation: Situation) -> tuple[str, ...]:
    """Blocks above the best-probing one; at least the last, which is where unfreezing begins."""
    blocks = list(situation.probes)
    return tuple(blocks[min(blocks.index(situation.best_block), len(blocks) - 2) + 1 :])


def reasons(situation: Situation) -> tuple[str, ...]:
    """Why, one plain sentence each."""
    each = situation.images / situation.classes
    size = "few" if situation.small else "many"
    near = "similar to" if situation.similar else "unlike"
    order = RULE[situation.small, situation.similar]
    probes = ", ".join(f"{block} {value:.0%}" for block, value in situation.probes.items())
    said = [
        f"{situation.images:,} training images of {situation.classes} classes, "
        f"{each:.0f} each, are {size} (the line is {FEW}).",
        f"A linear probe on the frozen features names {situation.probes[situation.last]:.0%} of "
        f"them right by cross-validation, {max(situation.skill, 0):.0%} of the way from chance to "
        f"perfect; the line is {NEAR:.0%}, so the dataset counts as {near} the source's.",
        f"{size.capitalize()} images {near} the source's: the four-quadrant rule says {order[0]}.",
        f"Probes by block: {probes}. LogME of the last: {situation.log_me:.3f}.",
    ]
    if order[0] == "last blocks":
        said.append(
            f"The probe is best on {situation.best_block}; what lies above it "
            f"({', '.join(blocks_above(situation))}) is worth training."
        )
    return tuple(said)
