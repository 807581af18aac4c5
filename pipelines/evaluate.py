"""Stage `evaluate`: the only stage that runs networks on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from src import paths
from src.cli import parser, run
from src.config import Params, load_params, training_stage
from src.data.faceset import FaceSet, Split
from src.errors import OriginError, StaleInputError, WeightsError
from src.evaluation.calibration import Calibration
from src.evaluation.choice import Contender, choose
from src.evaluation.figures import (
    confusion_figure,
    curves_figure,
    mistakes_figure,
    reliability_figure,
    worst_subjects_figure,
)
from src.evaluation.metrics import SubjectScore, per_subject, score
from src.evaluation.mistakes import worst_mistakes
from src.evaluation.predictions import Predictions
from src.files import all_or_none, digest, read_rows, write_csv, write_json, write_text
from src.plotting import save_png
from src.tracking.pages import dress_all
from src.tracking.reconcile import log_test
from src.tracking.unchanged import check_unchanged

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from src.models.classifier import Classifier
    from src.models.threshold import Threshold

MISTAKES = 12  # shown in the figure
EXAMPLES = "  python -m pipelines.evaluate\n  dvc repro evaluate"


def main(argv: Sequence[str] | None = None) -> None:
    """Score every experiment's networks on the test images and store their predictions."""
    parser("pipelines.evaluate", str(main.__doc__), EXAMPLES).parse_args(argv)
    faces = FaceSet.load(paths.FACES)
    params = load_params()
    names = params.experiments
    best = choose(Contender.read(name, paths.train_metrics(name)) for name in names).name
    predictions, kept = predict(params, faces, best)
    threshold, unknown, drawn = strangers(params, faces, best, kept)
    scores = {
        name: score(logits, predictions.labels) for name, logits in predictions.logits.items()
    }
    of_seeds = {name: scores_of_seeds(predictions, name) for name in scores}
    figures = {
        name: result.as_dict() | calibration(predictions, name).as_dict()
        for name, result in scores.items()
    }
    for kept_only in (figures[best], of_seeds[best][0]):
        kept_only.update(of_threshold(unknown))
    with all_or_none():
        predictions.save(paths.PREDICTIONS)
        for name, seeds_alone in of_seeds.items():
            write_experiment(name, faces, predictions)
            write_json(paths.seed_scores(name), {"seeds": seeds_alone})
        write_json(paths.TEST_METRICS, figures)
        threshold.save(paths.THRESHOLD)
        write_json(paths.UNKNOWN_METRICS, unknown)
        if drawn:
            save_png(drawn, paths.strangers_figure(best))
    for name, result in scores.items():
        if not (drawn and name == best):
            paths.strangers_figure(name).unlink(missing_ok=True)  # of an earlier evaluation
        if not params.tracking.offline:
            files = sorted(paths.evaluation(name).iterdir())
            log_test(paths.run_record(name), figures[name], files, seeds=of_seeds[name])
        low, high = result.accuracy_low, result.accuracy_high
        seeds = f", mean of {result.seeds} seeds" if result.seeds > 1 else ""
        print(f"{name}: test {result.accuracy:.1%}, 95% interval {low:.1%} to {high:.1%}{seeds}")
    if not params.tracking.offline:
        dress_all(paths.run_record(name) for name in scores)
    print(sentence(unknown))


@dataclass(frozen=True)
class Kept:
    """The best experiment's kept network, with its features and logits of the test images."""

    classifier: Classifier
    features: Tensor
    logits: Tensor


def strangers(
    params: Params, faces: FaceSet, best: str, kept: Kept
) -> tuple[Threshold, dict[str, Any], Figure | None]:
    """The threshold of the best network, what it does, and the figure; nothing without strangers.

    Raises StaleInputError where the strangers were packed with another dataset.
    """
    import torch

    from src.evaluation.strangers import measure, set_threshold, split_halves
    from src.evaluation.strangers_figure import strangers_figure
    from src.models.threshold import Threshold
    from src.training.device import resolve

    others, far, md5 = FaceSet.load(paths.STRANGERS), params.unknown.far, digest(paths.model(best))
    if not len(others):
        return Threshold.nothing(md5, best, far), {"experiment": best, "strangers": {}}, None
    if others.images.shape[1:] != faces.images.shape[1:]:
        what = "of another image size than the dataset"
        raise StaleInputError(str(paths.STRANGERS), what, "run `dvc repro dataset`")
    exact = resolve(params.engine.device, params.engine.precision).dtype == torch.float32
    known = (kept.features, kept.logits) if exact else None
    halves = split_halves(kept.classifier, faces, others, known)
    threshold = set_threshold(halves.setting, halves.means, far=far, model=md5, experiment=best)
    figure = strangers_figure(halves.measuring, threshold)
    return threshold, measure(halves, threshold), figure


def sentence(unknown: Mapping[str, Any]) -> str:
    """What the threshold does."""
    if not unknown["strangers"]:
        return "no strangers, so no answer is ever unknown"
    own = unknown["scores"][unknown["score"]]
    return (
        f"{unknown['experiment']}: unknown by {unknown['score']}; names {own['far']:.1%} of other "
        f"strangers' images, refuses {own['frr']:.1%} of the test images"
    )


def of_threshold(unknown: Mapping[str, Any]) -> dict[str, float]:
    """What the threshold does, as scores of the network that it belongs to; none without one."""
    own = unknown["scores"][unknown["score"]] if unknown["strangers"] else {}
    return {f"unknown_{key}": own[key] for key in ("auroc", "far", "frr") if key in own}


def calibration(predictions: Predictions, name: str) -> Calibration:
    """How well calibrated an experiment's kept model is."""
    logits, labels = predictions.logits[name][0], predictions.labels
    return Calibration.of(logits, labels, predictions.temperature(name))


def scores_of_seeds(predictions: Predictions, name: str) -> list[dict[str, float]]:
    """The scores of each seed of an experiment alone."""
    return [score(each[None], predictions.labels).as_dict() for each in predictions.logits[name]]


def predict(params: Params, faces: FaceSet, best: str) -> tuple[Predictions, Kept]:
    """The predictions of each experiment's seeds for the test images, and what `best` keeps.

    Raises OriginError if there are none, StaleInputError for a network that was trained for
    other subjects or another image size or was changed since, WeightsError for one that is
    missing or gives answers that are not finite.
    """
    import torch

    from src.evaluation.inference import shared_logits
    from src.models.classifier import Classifier
    from src.training.device import resolve

    images, labels = faces.mapped(Split.test)
    if not len(images):
        raise OriginError(
            str(paths.FACES), "the test split is empty", "raise data.test_fraction in params.yaml"
        )
    check_unchanged(*params.experiments)
    seeds = {
        name: Classifier.load_seeds(paths.model(name), paths.seed_models(name))
        for name in params.experiments
    }
    for name, (first, *_) in seeds.items():
        if (first.subjects, first.image_size) != (faces.subjects, images.shape[-1]):
            raise StaleInputError(
                str(paths.model(name)),
                "trained for other subjects or another image size than the dataset's",
                f"run `dvc repro {training_stage(name)}`",
            )
    compute = resolve(params.engine.device, params.engine.precision)
    kept, features = seeds[best][0], []
    hook = kept.network.head.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    found = shared_logits(seeds, images, compute.device, compute.dtype)
    hook.remove()
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            what = "its answers are not finite, so its weights are out of range"
            mend = f"run `dvc repro {training_stage(name)}`"
            raise WeightsError(str(paths.model(name)), what, mend)
    logits = {name: tensor.numpy() for name, tensor in found.items()}
    rows = faces.rows(Split.test)
    predictions = Predictions(
        logits,
        labels.numpy(),
        rows.numpy(),
        faces.subjects,
        {name: first.spec.temperature for name, (first, *_) in seeds.items()},
        faces.digest(rows),
    )
    return predictions, Kept(kept, torch.cat(features).float().cpu(), found[best][0])


def write_experiment(name: str, faces: FaceSet, predictions: Predictions) -> None:
    """Write the tables and figures of one experiment's predictions."""
    subjects, folder = predictions.subjects, paths.evaluation(name)
    predicted = predictions.predicted(name)
    pairs = zip(predictions.labels, predicted, strict=True)
    write_csv(
        paths.confusion(name),
        ("actual", "predicted"),
        ((subjects[actual], subjects[answer]) for actual, answer in pairs),
    )
    scores = per_subject(predictions.labels, predicted, subjects)
    header = [field.name for field in fields(SubjectScore)]
    write_csv(folder / "per_subject.csv", header, map(astuple, scores))
    mistakes = worst_mistakes(faces, predictions, name, MISTAKES)
    # Tells `reconcile` which network these results belong to.
    write_text(paths.evaluated_model(name), digest(paths.model(name)) + "\n")
    save_png(confusion_figure(predictions, name), folder / "confusion.png")
    save_png(mistakes_figure(faces, mistakes, subjects), folder / "worst_mistakes.png")
    save_png(reliability_figure(predictions, name), folder / "reliability.png")
    save_png(curves_figure(name, read_rows(paths.curves(name))), folder / "curves.png")
    save_png(worst_subjects_figure(faces, predictions, name, scores), folder / "worst_subjects.png")


if __name__ == "__main__":
    run(main)
