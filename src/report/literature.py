"""A literature study: the claims of its text, checked against the experiments trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from src import paths
from src.config import Claim
from src.evaluation.predictions import Predictions
from src.evaluation.significance import ALPHA, PairedTest, paired_test
from src.report import formats, words
from src.report.curves import LearningCurve
from src.report.inputs import ReportInputs

Verdict = Literal["holds", "fails", "is undecided"]


@dataclass(frozen=True)
class ClaimVerdict:
    """One claim, what became of it here, and the figures that decide it."""

    says: str
    verdict: Verdict
    found: str


def check_claim(claim: Claim, inputs: ReportInputs) -> ClaimVerdict:
    """Check a claim against the trained networks, their curves or their predictions."""
    ((kind, pair),) = claim.pairs.items()
    if kind == "same":
        return _same(claim, *pair)
    if kind == "sooner":
        return _sooner(claim, inputs.curves, *pair)
    return _better(claim, inputs.predictions, *pair)


def _same(claim: Claim, first: str, second: str) -> ClaimVerdict:
    from src.models.network import load_state

    one, other = (load_state(paths.model(name))[0] for name in (first, second))
    differing = [
        name
        for name in one
        if name not in other or not one[name].contiguous().equal(other[name].contiguous())
    ]
    found = (
        f"All {len(one)} tensors of {first} and {second} are bit-identical."
        if not differing
        else f"{len(differing)} of {len(one)} tensors of {first} and {second} differ."
    )
    same = not differing and len(one) == len(other)
    return ClaimVerdict(claim.says, "holds" if same else "fails", found)


def _sooner(
    claim: Claim, curves: Mapping[str, LearningCurve], first: str, second: str
) -> ClaimVerdict:
    early, ever = max(curves[first].val[: claim.epochs]), max(curves[second].val)
    found = (
        f"On validation, with the first seed, {first} reaches {formats.percent(early)} within "
        f"{claim.epochs} epochs; "
        f"the best of {second}'s {len(curves[second].val)} epochs is {formats.percent(ever)} "
        "(not tested)."
    )
    return ClaimVerdict(claim.says, "holds" if early > ever else "fails", found)


def _better(claim: Claim, predictions: Predictions, first: str, second: str) -> ClaimVerdict:
    right = {name: predictions.correct(name) for name in (first, second)}
    paired = paired_test(right[first], right[second])
    found = (
        f"{first} identifies {formats.percent(float(right[first].mean()))} of the test images "
        f"correctly, {second} {formats.percent(float(right[second].mean()))}: "
        f"{formats.points(paired.difference)} points, {formats.p_value(paired.p)} "
        f"({words.name_of(paired)}{_single(paired, first, second)}; "
        "not adjusted)."
    )
    if paired.p >= ALPHA:
        return ClaimVerdict(claim.says, "is undecided", found)
    return ClaimVerdict(claim.says, "holds" if paired.difference > 0 else "fails", found)


def _single(paired: PairedTest, first: str, second: str) -> str:
    """Which sides have one network, of whose seed the test says nothing."""
    if not paired.over_seeds:
        return "; one network each"
    names = zip((first, second), paired.seeds, strict=True)
    return "".join(f"; one network of {name}" for name, seeds in names if seeds == 1)
