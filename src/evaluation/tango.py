"""A confidence interval of a paired difference that is honest with few images.

Tango, T. (1998): Equivalence test and confidence interval for the difference in proportions for the
paired-sample design. Statistics in Medicine 17, 891-908. Wald's interval has no width where two
networks answer alike, as if a handful of images proved that they always do; this one has.
"""

from __future__ import annotations

from math import sqrt

Z = 1.959964  # of 95%, two-sided


def lower_limit(only_first: int, only_second: int, images: int) -> float:
    """The lower 95% limit of the first's accuracy less the second's, within [-1, 1].

    Of `images` > 0, `only_first` were predicted correctly by the first alone, and so on.
    """
    from scipy.optimize import brentq

    observed, tiny = (only_first - only_second) / images, 1e-9
    if observed <= -1:
        return -1.0
    above = max(observed - tiny, tiny - 1)

    def excess(difference: float) -> float:
        return _score(difference, only_first, only_second, images) - Z

    return float(brentq(excess, tiny - 1, above)) if excess(above) < 0 else above


def _score(difference: float, only_first: int, only_second: int, images: int) -> float:
    """How many standard errors the observed difference is above `difference`."""
    a = 2 * images
    b = (2 * images - only_first + only_second) * difference - only_first - only_second
    c = -only_second * difference * (1 - difference)
    share = (sqrt(max(b * b - 4 * a * c, 0)) - b) / (2 * a)  # of images that only the second gets
    spread = images * (2 * share + difference * (1 - difference))
    return (only_first - only_second - images * difference) / sqrt(max(spread, 1e-12))
