"""The report's section on strangers: what the threshold does, in sentences and one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src import paths
from src.report.formats import percent
from src.report.images import EmbeddedImage, embed, read_figure

FEW = 10  # strangers, below which a bootstrap over them is rough
SCORES = {
    "probability": "largest calibrated probability",
    "energy": "energy",
    "distance": "cosine with the subjects' mean features",
}


@dataclass(frozen=True)
class ScoreRow:
    """One score as the table shows it."""

    name: str
    chosen: bool
    auroc_validation: str
    auroc: str
    far: str
    frr: str


@dataclass(frozen=True)
class Strangers:
    """The section's figure, sentences and table."""

    figure: EmbeddedImage
    sentences: tuple[str, ...]
    rows: tuple[ScoreRow, ...]

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Strangers | None:
        """From metrics/unknown.json; None where there were no strangers."""
        if not found.get("strangers"):
            return None
        figure = embed(
            read_figure(paths.strangers_figure(found["experiment"])),
            "image/png",
            "Scores of test images and of strangers beside the threshold, and accuracy by coverage",
        )
        return cls(figure, sentences(found), rows(found))


def sentences(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What the threshold does, and how sure that is."""
    own, others, ahead = found["scores"][found["score"]], found["strangers"], found["ahead"]
    accepted, candidates = found["accepted"], found["candidates"]
    reach = (
        f"{percent(found['far'])} was asked for"
        if found["far"] >= others["resolution"]
        else f"{percent(found['far'])} was asked for, but their images promise no less than "
        f"{percent(others['resolution'])}"
    )
    beyond = ahead["low"] > 0 or ahead["high"] < 0
    settled = "beyond chance" if beyond else "chance can explain it"
    if others["measuring"] < FEW:
        settled = "only roughly known, with so few strangers"
    return (
        f"{found['experiment']} answers “unknown” where the {SCORES[found['score']]} is too low. "
        f"Of the images of {others['measuring']} strangers that set nothing, it accepts "
        f"{_share(own, 'far')} as a subject's. It answers “unknown” to {_share(own, 'frr')} of the "
        f"test images, and of the other {percent(accepted['coverage'])} names "
        f"{percent(accepted['accuracy'])} rightly.",
        f"Another {others['setting']} strangers set the threshold: {reach}. A rate for each "
        f"stranger rather than each image is known to {percent(others['resolution_by_identity'])} "
        "at best, with so few of them; the interval is over strangers.",
        "The score is the one that told validation images from those strangers best. On the images "
        f"that measure, its AUROC is {ahead['value']:+.3f} ({ahead['low']:+.3f} to "
        f"{ahead['high']:+.3f}) ahead of the next, the {SCORES[ahead['of']]}: {settled}.",
        f"Sets of candidates that should hold the right subject for {percent(candidates['level'])} "
        f"of images hold it for {_share(candidates, 'coverage')} of the test images, with "
        f"{candidates['mean_size']:.1f} subjects on average.",
    )


def rows(found: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """Every score, each with the threshold that it would have."""
    return tuple(
        ScoreRow(
            SCORES[name],
            name == found["score"],
            f"{own['auroc_validation']:.3f}",
            f"{own['auroc']:.3f}",
            _share(own, "far"),
            _share(own, "frr"),
        )
        for name, own in found["scores"].items()
    )


def _share(values: Mapping[str, float], name: str) -> str:
    low, high = (percent(values[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{percent(values[name])} ({low} to {high})"
