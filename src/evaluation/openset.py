"""Telling known from unknown by scores, which are higher the more an image looks known."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Any

from src.evaluation.metrics import UPPER, Proportion, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2000  # of the bootstrap


def auroc(known: NDArray[np.float64], strangers: NDArray[np.float64]) -> float:
    """The probability that a known image scores above a stranger's; a tie counts one half.

    Not by sklearn, which the tests hold this against: its import takes evaluating a second.
    """
    return float(_wins(known, strangers).mean()) / len(strangers)


def _wins(known: NDArray[np.float64], strangers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how many strangers' images each known image scores above, ties counted one half."""
    import numpy as np

    ordered = np.sort(strangers)
    below, up_to = np.searchsorted(ordered, known), np.searchsorted(ordered, known, "right")
    wins: NDArray[np.float64] = (below + up_to) / 2
    return wins


def conservative_threshold(strangers: NDArray[np.float64], far: float) -> float:
    """The lowest score above which a further stranger's image lies with probability `far` at most.

    By ranks, as in conformal prediction: a new score is above the r-th largest of n others with
    probability r / (n + 1) at most, if they are exchangeable. So r = far (n + 1), rounded down, but
    at least 1: a rate below `resolution` cannot be promised.
    """
    import numpy as np

    rank = max(1, floor(far * (len(strangers) + 1) + 1e-9))
    return float(np.sort(strangers)[-rank])


def resolution(count: int) -> float:
    """The least false-accept rate that `count` strangers can promise."""
    return 1 / (count + 1)


def by_identity(hits: NDArray[np.bool_], identities: NDArray[np.int64]) -> Proportion:
    """The share of (N,) hits with its 95% interval for images that come in clusters by identity.

    Wilson's with the effective number of images (Korn & Graubard, 1998), by the variance between
    identities of a ratio estimate (Cochran, 1977), less for how few identities that is known from.
    Where there is no such variance, as with none or all hit, each identity counts as one image.
    """
    import numpy as np
    from scipy.special import stdtrit

    share, images, sizes = float(hits.mean()), len(hits), np.bincount(identities)
    count = int((sizes > 0).sum())
    own = np.bincount(identities, hits).astype(int)
    residuals = own * images - int(hits.sum()) * sizes  # times images, so that none is rounded
    if not residuals.any():
        return wilson(share * count, count)
    variance = float((residuals**2).sum()) / images**4 * count / (count - 1)
    plain, found = stdtrit([images - 1, count - 1], UPPER)
    effective = share * (1 - share) / variance * float(plain / found) ** 2
    effective = min(max(effective, 1.0), images)
    return wilson(share * effective, effective)


def difference(
    one: tuple[NDArray[np.float64], NDArray[np.float64]],
    other: tuple[NDArray[np.float64], NDArray[np.float64]],
    subjects: NDArray[np.int64],
    identities: NDArray[np.int64],
) -> Proportion:
    """AUROC of `one` score less that of the `other`, with a bootstrap's 95% interval.

    Each is a pair of (N,) known and (M,) strangers' scores of the same images. Whole identities are
    drawn, of subjects and of strangers; with few of them the interval is rough.
    """
    import numpy as np

    people, others = (np.unique(each, return_counts=True) for each in (subjects, identities))
    whose = [identities == each for each in others[0]]
    gained = np.array(
        [_wins(one[0], one[1][own]) - _wins(other[0], other[1][own]) for own in whose]
    )  # (T, N)
    sums = np.array([gained[:, subjects == each].sum(axis=1) for each in people[0]])  # (S, T)
    generator = np.random.default_rng(0)
    drawn, drawn_others = (
        generator.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
        for names, _ in (people, others)
    )
    pairs = (drawn @ people[1]) * (drawn_others @ others[1])
    low, high = np.quantile(((drawn @ sums) * drawn_others).sum(axis=1) / pairs, [0.025, 0.975])
    mean = float(gained.sum()) / (len(subjects) * len(identities))
    return Proportion(mean, float(low), float(high))


def coverage_curve(
    scores: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of images answered, and share of those right, as ever lower scores are answered."""
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    answered = np.arange(1, len(scores) + 1)
    return answered / len(scores), right[order].cumsum() / answered


def candidate_floor(right: NDArray[np.floating[Any]], level: float) -> float:
    """The least probability of a candidate, so that sets hold the right subject `level` of times.

    Split conformal prediction (Vovk et al., 2005; Angelopoulos & Bates, 2021) with the score
    1 - p(right subject), from the (N,) probabilities of the right subjects. 0, so that every
    subject is a candidate, where there are too few images for the level.
    """
    import numpy as np

    rank = ceil((len(right) + 1) * level - 1e-9)
    return float(np.sort(right)[-rank]) if rank <= len(right) else 0.0
