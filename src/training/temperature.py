"""The temperature at which a network's probabilities fit the validation images best."""

from __future__ import annotations

from math import exp, log

import torch
from torch import Tensor

from src.models.network import COLDEST, HOTTEST

AT_ONCE = 2**20  # logits in double precision; several times as much is in memory
HALVINGS = 40  # of the interval of logarithms, which is 6 wide: exact to 1e-11


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T for which softmax(logits / T) gives (N,) `labels` the highest likelihood.

    Temperature scaling (Guo et al., 2017). One number cannot change which subject is the likeliest.
    It lies within COLDEST and HOTTEST, and is one of the two where the likelihood has its maximum
    outside: a network that gets every validation image right, as is easy with few of them, is best
    at the coldest.

    The negative log-likelihood is convex in 1 / T, so its derivative has one zero at most, which
    bisection finds. `scipy.optimize`, which the tests hold this against, takes 1.4 s to import, in
    a stage that each of ten experiments runs.
    """
    scores, subjects = logits.cpu(), labels.cpu()
    own = scores[torch.arange(len(subjects)), subjects].double()
    parts = torch.split(scores, max(1, AT_ONCE // scores.shape[1]))

    def expected(part: Tensor, logarithm: float) -> Tensor:
        part = part.double()
        return (part * (part * exp(-logarithm)).softmax(1)).sum(1)

    def slope(logarithm: float) -> float:
        """Derivative of the mean negative log-likelihood by 1 / T."""
        found = torch.cat([expected(part, logarithm) for part in parts])
        return float((found - own).mean())

    low, high = log(COLDEST), log(HOTTEST)
    if slope(low) <= 0:
        return COLDEST
    if slope(high) >= 0:
        return HOTTEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return round(exp(middle), 9)
