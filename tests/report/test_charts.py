"""Legends name what the charts draw, and the counts of a confusion matrix are legible."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from src.evaluation import published
from src.evaluation.figures import confusion_figure
from src.evaluation.predictions import Predictions
from src.plotting import BLUE, DARK, ORANGE, PAPER
from src.report.charts import accuracy_chart, curves_chart
from src.report.comparison import Comparison
from src.report.curves import LearningCurve
from tests import fabricate

LEAST = 4.5  # WCAG 2.2, 1.4.3: contrast of text
PUBLISHED = "published test (other dataset)"
CURVE = LearningCurve((0.4, 0.6), (0.3, 0.5), 2)


def comparison(figures: dict[str, float]) -> Comparison:
    made = fabricate.predictions(fabricate.faces())
    trained = {name: fabricate.trained(share) for name, share in fabricate.ACCURACY.items()}
    return fabricate.compare(trained, made, published=figures)


def legend(drawn: object) -> list[str]:
    (found,) = drawn.legends  # type: ignore[attr-defined]
    return [text.get_text() for text in found.get_texts()]


@pytest.mark.parametrize("figures", [{}, {"ModelC": 0.9}, {"another": 0.9}])
def test_the_legend_of_accuracies_lists_published_figures_where_there_are_some(
    figures: dict[str, float],
) -> None:
    assert (PUBLISHED in legend(accuracy_chart(comparison(figures)))) == ("ModelC" in figures)


@pytest.mark.parametrize("names", [("Baseline", "mine"), ("mine", "other"), ("mine",)])
def test_the_legend_of_curves_lists_the_lines_that_there_are(names: tuple[str, ...]) -> None:
    found = legend(curves_chart(dict.fromkeys(names, CURVE), published.curves()))
    assert (PUBLISHED in found) == ("Baseline" in names)
    assert ("the other experiments" in found) == (len(names) > 1)
    assert {"validation", "training", "kept epoch"} <= {*found}


def every_share(steps: int = 20) -> Predictions:
    """Answers of which 0, 1 and so on to `steps` are right, the rest wrong in one way."""
    labels = np.arange(steps + 1).repeat(steps)
    right = np.tile(np.arange(steps), steps + 1) < labels
    answers = np.where(right, labels, (labels + 1) % (steps + 1))
    subjects = tuple(f"subject {number}" for number in range(steps + 1))
    logits = np.eye(steps + 1, dtype=np.float32)[answers]
    return Predictions({"any": logits[None]}, labels, np.arange(len(labels)), subjects)


def luminance(colour: tuple[float, ...]) -> float:
    """The relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("page", "colours"),
    [("white", {}), (PAPER, {}), (DARK[PAPER], DARK)],
    ids=["png", "light", "dark"],
)
def test_every_count_is_legible_on_its_cell_in_light_and_in_dark(
    page: str, colours: dict[str, str]
) -> None:
    axis = confusion_figure(every_share(), "any").axes[0]
    layers = [image.to_rgba(image.get_array()) for image in axis.images]
    shown = set()
    for text in axis.texts:
        column, row = (round(place) for place in text.get_position())
        cell = np.array(to_rgb(page))
        for layer in layers:
            *colour, opacity = layer[row, column]
            cell = opacity * np.array(colour) + (1 - opacity) * cell
        written = text.get_color()
        assert contrast(to_rgb(colours.get(written, written)), tuple(cell)) >= LEAST
        shown.add((row == column, int(text.get_text())))
    assert shown == {(right, number) for right in (True, False) for number in range(1, 21)}


def test_a_cells_colour_is_the_stronger_the_larger_its_share() -> None:
    right, wrong = confusion_figure(every_share(), "any").axes[0].images
    for image, colour, cells in (
        (right, BLUE, [(number, number) for number in range(21)]),
        (wrong, ORANGE, [(number, (number + 1) % 21) for number in range(20, -1, -1)]),
    ):
        found = [image.to_rgba(image.get_array())[cell] for cell in cells]
        assert {tuple(each[:3]) for each in found} == {to_rgb(colour)}
        opacities = [each[3] for each in found]
        assert opacities == sorted({*opacities}) and opacities[0] == 0
