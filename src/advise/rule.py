"""The ranking: the four-quadrant rule, refined by the block whose probe is best.

The rule is that of the CS231n course notes on transfer learning (Karpathy): with few images similar
to the source's, train only the head; with few unlike them, the last blocks; with many, everything.
The probes tell how many last blocks: features become more specific to the source with depth
(Yosinski et al., 2014), so the blocks above the one with the best probe are worth training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from src.advise.situation import FEW, NEAR, Situation

Strategy = Literal["head", "last blocks", "everything", "from scratch"]

RULE: Mapping[tuple[bool, bool], tuple[Strategy, ...]] = {  # (small, similar): best first
    (True, True): ("head", "last blocks", "everything", "from scratch"),
    (True, False): ("last blocks", "everything", "head", "from scratch"),
    (False, True): ("everything", "last blocks", "head", "from scratch"),
    (False, False): ("everything", "last blocks", "from scratch", "head"),
}


@dataclass(frozen=True)
class Candidate:
    """An experiment to rank. `seconds` is a seed's expected training time here."""

    name: str
    strategy: Strategy
    unfrozen: tuple[str, ...]  # blocks below the head that are trained
    parameters: int  # trainable ones
    seconds: float


def strategy_of(unfrozen: Sequence[str], blocks: Sequence[str], scratch: bool) -> Strategy:
    """The strategy that trains the blocks `unfrozen` among all `blocks` of a network."""
    if scratch:
        return "from scratch"
    if not unfrozen:
        return "head"
    return "everything" if len(unfrozen) == len(blocks) else "last blocks"


def rank(situation: Situation, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Candidates from the most to the least promising.

    Strategies are in the rule's order; among last blocks, the closer their number to that of
    `blocks_above`, the better. Ties go to fewer parameters if images are few, else to more.
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
    """The blocks above the one with the best probe; at least the last block."""
    blocks = list(situation.probes)
    return tuple(blocks[min(blocks.index(situation.best_block), len(blocks) - 2) + 1 :])


def reasons(situation: Situation) -> tuple[str, ...]:
    """The reasons for the ranking, one sentence each."""
    each = situation.images / situation.classes
    size = "few" if situation.small else "many"
    near = "similar to" if situation.similar else "unlike"
    order = RULE[situation.small, situation.similar]
    probes = ", ".join(f"{block} {value:.0%}" for block, value in situation.probes.items())
    sentences = [
        f"{situation.images:,} training images of {situation.classes} classes, "
        f"{each:.0f} each, are {size} (many is from {FEW} each).",
        f"A linear probe of the frozen features has an accuracy of "
        f"{situation.probes[situation.last]:.0%} in cross-validation, "
        f"{max(situation.skill, 0):.0%} of the way from chance to perfect; similar is from "
        f"{NEAR:.0%}, so the images count as {near} the source's.",
        f"For {size} images {near} the source's, the four-quadrant rule says: {order[0]}.",
        f"Probes by block: {probes}. LogME of the last: {situation.log_me:.3f}.",
    ]
    if order[0] == "last blocks":
        sentences.append(
            f"The probe of {situation.best_block} is best; training is worthwhile above it: "
            f"{', '.join(blocks_above(situation))}."
        )
    return tuple(sentences)
