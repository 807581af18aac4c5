"""The sentences of the report: each says no more than the figures allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from src.config import BEST_NAME
from src.evaluation.metrics import Score
from src.evaluation.significance import AdjustedTest, PairedTest
from src.report.comparison import Comparison, ExperimentResult
from src.report.formats import count, interval, listed, p_value, percent, points

TEST_READ = (
    "given to networks by the evaluate stage alone, and choose no epoch, trial or champion; "
    "cross-validation, where it is run, divides all images anew"
)

CALIBRATION_NOTE = (
    "ECE: expected calibration error, by how much the probabilities of the first seed's network, "
    "the one that is kept, miss the share of its answers that are right; in brackets, without the "
    "temperature T that the validation images gave it."
)


def seeds(score: Score) -> str:
    """The number of seeds, in words."""
    return "one seed" if score.seeds == 1 else f"{score.seeds} seeds"


def advice(row: ExperimentResult) -> str:
    """What to do, if this experiment is the best."""
    block = row.experiment.features
    scratch = row.experiment.start == "scratch"
    if not row.unfrozen:
        network = "a random network" if scratch else "the network"
        kind = "a new linear head" if row.head == "linear" else f"a new {row.head} head"
        which = f" on the features of {block}" if block else ""
        return f"Keep {network} frozen and train {kind}{which}"
    which = f", with the head on the features of {block}" if block else ""
    if scratch:
        return f"Train from scratch{which}"
    return f"Unfreeze {'everything' if 'all' in row.unfrozen else listed(row.unfrozen)}{which}"


def headline(comparison: Comparison) -> str:
    """The result in one line."""
    best, reference, simplest = comparison.best, comparison.reference, comparison.simplest
    if comparison.beating:
        better = f"{_names(comparison.beating)} {_do(comparison.beating)} better on test"
        return f"Validation and test disagree: {best.name} leads on validation, but {better}"
    if unfinished := _unfinished(comparison, best):
        return f"Not settled: {best.name} leads, but {_names(unfinished)} had too few epochs"
    reached = f"{percent(simplest.test.accuracy)} of test images identified correctly"
    if best.against_reference is None:
        return f"{advice(best)}: {reached}, {_over_seeds(best)}"
    other = f"{percent(reference.test.accuracy)} for {reference.name}"
    if _advises(comparison):
        more = ""
        if simplest is not best:
            unfinished = _unfinished(comparison, simplest)
            more = ", perhaps more" if unfinished else ", training more is not shown to help"
            reached += f" by {simplest.name}"
        seeds = _over_seeds(simplest, reference)
        return f"{advice(simplest)}{more}: {reached}, against {other}, {seeds}"
    return f"No clear winner: {best.name} leads on validation, but that may be chance"


def _advises(comparison: Comparison) -> bool:
    """Whether the first line says what to do, where there is another row to do it against."""
    best = comparison.best
    test = best.against_reference
    open_question = comparison.beating or _unfinished(comparison, best)
    return not open_question and test is not None and test.beyond_chance


def _names(rows: Iterable[ExperimentResult]) -> str:
    return listed(row.name for row in rows)


def _do(rows: Collection[ExperimentResult]) -> str:
    return "does" if len(rows) == 1 else "do"


def _over_seeds(*rows: ExperimentResult) -> str:
    numbers = list(dict.fromkeys(row.test.seeds for row in rows))
    each = " each" if len(rows) > 1 and len(numbers) == 1 else ""
    if numbers == [1]:
        return f"from one seed{each}"
    return f"means of {' and '.join(map(str, numbers))} seeds{each}"


def _unfinished(comparison: Comparison, advised: ExperimentResult) -> list[ExperimentResult]:
    """Rows that train more than the one advised and were stopped while they were still learning.

    Advice to unfreeze less than they do would be about the number of epochs.
    """
    least = advised.trained.trainable_parameters
    return [row for row in comparison.improving if row.trained.trainable_parameters > least]


def improving(comparison: Comparison) -> str:
    """Which rows were stopped while they were still learning; empty if none."""
    if not (rows := comparison.improving):
        return ""
    one = len(rows) == 1
    return (
        f"{_names(rows)} {'was' if one else 'were'}, by the first seed, still improving at "
        f"{'its' if one else 'their'} last epoch: give {'it' if one else 'them'} more epochs "
        "before you conclude anything from a low accuracy."
    )


def findings(comparison: Comparison) -> list[str]:
    """The conclusions, one or two sentences each."""
    best = comparison.best
    said = [
        f"{best.name} (trains {best.trains}, {best.head} head) has the highest validation "
        f"accuracy, {percent(best.trained.val.value)}. It identifies {percent(best.test.accuracy)} "
        f"of the {best.test.images} test images correctly ({seeds(best.test)}, 95% interval "
        f"{interval(best.test)}); "
        f"guessing would give {percent(comparison.chance)}. The test images choose no epoch, trial "
        "or champion."
    ]
    if not comparison.balanced:
        said.append(
            "Always predicting the most common subject would be correct for "
            f"{percent(comparison.majority)} of the test images: "
            "compare macro F1 rather than accuracy."
        )
    if best.against_reference:
        said.append(
            f"Its difference from {comparison.reference.name} on the same images is "
            f"{_difference(best.against_reference)}."
        )
    if len(comparison.rows) > 1:
        said += _others(comparison)
        said += [_all_against_reference(comparison), tested(comparison)]
    return [*said, *filter(None, [improving(comparison)])]


def _others(comparison: Comparison) -> list[str]:
    """How the other rows compare with the best on the test images."""
    best, beating, as_good = comparison.best, comparison.beating, comparison.as_good
    said = []
    if beating:
        said.append(
            f"On the test images, {listed(f'{row.name}{_beside(row)}' for row in beating)} "
            f"{_do(beating)} better than {best.name} by more than chance can explain: validation "
            f"and test disagree. {best.name} stays the best row, as the test images do not choose "
            "it."
        )
    if as_good:
        apart = listed(f"{row.name}{_beside(row)}" for row in as_good)
        smallest = min((best, *as_good), key=lambda row: row.trained.trainable_parameters)
        tail = (
            "; of these it trains the fewest parameters."
            if smallest is best
            else f"; the one that trains the fewest parameters is {smallest.name} "
            f"({count(smallest.trained.trainable_parameters)})."
        )
        said.append(f"The tests cannot tell it apart from {apart}{tail}")
    elif not beating:
        said.append("Every other row does worse on these images by more than chance can explain.")
    if comparison.simplest is not best and _advises(comparison):
        said.append(
            f"These tests picked {comparison.simplest.name} for the first line, so its accuracy "
            "there is a little optimistic."
        )
    return said


def _beside(row: ExperimentResult) -> str:
    """Its p against the best row, in brackets; empty for the best itself."""
    return f" (adjusted {p_value(row.against_best.p)})" if row.against_best else ""


def tested(comparison: Comparison) -> str:
    """What the tests against the reference are about: ways of training, or trained networks."""
    name = comparison.reference.name
    single = [row for row in comparison.rows if row.test.seeds == 1]
    if len(single) == len(comparison.rows):
        return (
            f"Against {name}, single networks are compared, of one seed each, by the exact McNemar "
            "test: it is about these networks on these images and says nothing about what another "
            "seed would give."
        )
    crossed = (
        "Images are crossed with seeds: the tests allow for other images and for other seeds "
        "(t test, docs/statistics.md)"
    )
    if not single:
        return f"{crossed}."
    said = (
        f"{crossed}. {_names(single)} {'has' if len(single) == 1 else 'have'} one seed only: what "
        "another would give, they do not allow for."
    )
    if comparison.reference in single and len(single) > 1:
        said += f" One seed of {name} and one of another row compare by the exact McNemar test."
    return said


def tables_note(comparison: Comparison) -> str:
    """How the intervals and tests of the table are made, and what its times are."""
    several = any(row.test.seeds > 1 for row in comparison.rows)
    over = ", over images and seeds where there are several seeds" if several else ""
    said = f"Intervals are Wilson score intervals{over}."
    others = len(comparison.rows) - 1
    if others:
        said += f" Differences are in points, on the same images. {tested(comparison)}"
    if others > 1:
        said += f" Their p values are adjusted for {others} comparisons by Holm's method."
    return (
        f"{said} Times are of one seed, from the start of its run to the end. Heads start from "
        "features that the embed stage computed once, which is not counted, and what several seeds "
        "share is divided among them. A row is on the front if no other is both faster and more "
        "accurate on test."
    )


def cost_note(comparison: Comparison) -> str:
    """What the column of costs counts."""
    classical = any(row.experiment.head.classical for row in comparison.rows)
    fitted = "; how scikit-learn fits a classical head is not counted" if classical else ""
    return (
        "Costs are the products and sums of layers, as they are defined, in training one seed: in "
        "every epoch forward and back through what trains, and through what is frozen below it "
        "once for each view of an image, flipped or not, or in every epoch where crops or colours "
        f"are random{fitted}."
    )


def validation(comparison: Comparison) -> str:
    """The header of the column of validation accuracies."""
    if not comparison.selected:
        return "validation, last epoch"
    everywhere = len(comparison.selected) == len(comparison.rows)
    return f"validation, {'best' if everywhere else 'kept'} epoch"


def validation_note(comparison: Comparison) -> str:
    """Why the validation accuracies are optimistic: what was chosen by them."""
    said = (
        f"The best row was chosen by validation accuracy{_trial(comparison)}, so its validation "
        "accuracy is optimistic."
    )
    if not comparison.selected:
        return f"{said} No epoch was chosen that way: every row keeps its last epoch."
    whose = (
        "Every row's validation accuracy"
        if len(comparison.selected) == len(comparison.rows)
        else f"That of {_names(comparison.selected)}"
    )
    return (
        f"{said} {whose} is the best of its epochs on the same images, which is optimistic, too, "
        "and so would be an interval around it."
    )


def _trial(comparison: Comparison) -> str:
    searched = any(row.name == BEST_NAME for row in comparison.rows)
    return f", as was {BEST_NAME} among the trials of a search" if searched else ""


def _difference(test: AdjustedTest) -> str:
    verdict = "more than chance can explain" if test.beyond_chance else "which chance can explain"
    size = points(test.paired.difference)
    return f"{size} points, {verdict} ({name_of(test.paired)}, adjusted {p_value(test.p)})"


def name_of(test: PairedTest) -> str:
    """The name of a test."""
    return "t test over seeds and images" if test.over_seeds else "exact McNemar test"


def _all_against_reference(comparison: Comparison) -> str:
    name = comparison.reference.name
    parts = [
        f"{_names(rows)} {_do(rows)} {word}"
        for sign, word in ((1, "better"), (-1, "worse"))
        if (rows := comparison.beyond_chance(sign))
    ]
    if not parts:
        return f"No row differs from {name} on these images by more than chance can explain."
    rest = len(comparison.rows) - 1 - sum(len(comparison.beyond_chance(sign)) for sign in (1, -1))
    others = (
        f"; the other {'one' if rest == 1 else rest} cannot be told apart from it" if rest else ""
    )
    return (
        f"Against {name} on these images, {' and '.join(parts)} by more than chance can explain"
        f"{others}."
    )


def biometric_data(shown: str) -> str:
    """What faces are; `shown` says what the reader has of them."""
    return (
        f"Faces are biometric data. If these are photographs of people, {shown}: protect it like "
        "the photographs themselves, and observe their terms of use."
    )


def biometric(strangers: bool, shown: str) -> str:
    """The same, and what the networks do with people whom they do not know."""
    rest = (
        ", and how they take strangers was measured on few strangers of one kind."
        if strangers
        else ", and give a stranger one of their names."
    )
    return f"{biometric_data(shown)} The networks know only these subjects{rest}"
