"""Stage `evaluate`: the only stage that runs networks on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields

from src import paths
from src.cli import parser, run
from src.config import Params, load_params
from src.data.faceset import FaceSet, Split
from src.errors import OriginError, StaleInputError, WeightsError
from src.evaluation.calibration import Calibration
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
from src.tracking.reconcile import log_test
from src.tracking.unchanged import check_unchanged

MISTAKES = 12  # shown in the figure
EXAMPLES = "  python -m pipelines.evaluate\n  dvc repro evaluate"


def main(argv: Sequence[str] | None = None) -> None:
    """Score every experiment's networks on the test images and store their predictions."""
    parser("pipelines.evaluate", str(main.__doc__), EXAMPLES).parse_args(argv)
    faces = FaceSet.load(paths.FACES)
    params = load_params()
    predictions = predict(params, faces)
    scores = {
        name: score(logits, predictions.labels) for name, logits in predictions.logits.items()
    }
    with all_or_none():
        predictions.save(paths.PREDICTIONS)
        for name in scores:
            write_experiment(name, faces, predictions)
            write_json(paths.seed_scores(name), {"seeds": scores_of_seeds(predictions, name)})
        figures = {
            name: result.as_dict() | calibration(predictions, name).as_dict()
            for name, result in scores.items()
        }
        write_json(paths.TEST_METRICS, figures)
    for name, result in scores.items():
        seeds_alone = scores_of_seeds(predictions, name)
        if not params.tracking.offline:
            files = [(path, "test") for path in sorted(paths.evaluation(name).iterdir())]
            log_test(paths.run_record(name), figures[name], files, seeds=seeds_alone)
        low, high = result.accuracy_low, result.accuracy_high
        seeds = f", mean of {result.seeds} seeds" if result.seeds > 1 else ""
        print(f"{name}: test {result.accuracy:.1%}, 95% interval {low:.1%} to {high:.1%}{seeds}")


def calibration(predictions: Predictions, name: str) -> Calibration:
    """How well calibrated an experiment's kept model is."""
    logits, labels = predictions.logits[name][0], predictions.labels
    return Calibration.of(logits, labels, predictions.temperature(name))


def scores_of_seeds(predictions: Predictions, name: str) -> list[dict[str, float]]:
    """The scores of each seed of an experiment alone."""
    return [score(each[None], predictions.labels).as_dict() for each in predictions.logits[name]]


def predict(params: Params, faces: FaceSet) -> Predictions:
    """The predictions of each experiment's seeds for the test images.

    Raises OriginError if there are none, StaleInputError for a network that was trained for
    other subjects or another image size or was changed since, WeightsError for one that is
    missing or gives answers that are not finite.
    """
    from src.evaluation.inference import shared_logits
    from src.models.classifier import Classifier
    from src.training.device import resolve

    images, labels = faces.part(Split.test)
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
                f"run `dvc repro train@{name}`",
            )
    device = resolve(params.engine.device, "float32").device
    found = shared_logits(seeds, images, device)
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            what = "its answers are not finite, so its weights are out of range"
            raise WeightsError(str(paths.model(name)), what, f"run `dvc repro train@{name}`")
    logits = {name: tensor.numpy() for name, tensor in found.items()}
    rows = faces.rows(Split.test).numpy()
    temperatures = {name: first.spec.temperature for name, (first, *_) in seeds.items()}
    return Predictions(logits, labels.numpy(), rows, faces.subjects, temperatures)


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
