"""Stage `report`: the comparison as a page, a text and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src import paths
from src.cli import parser, run
from src.config import LiteratureStudy, Params, load_params
from src.data.audit import AuditFinding
from src.data.faceset import FaceSet
from src.errors import StaleInputError
from src.evaluation import published
from src.evaluation.figures import confusion_figure
from src.evaluation.metrics import Proportion, Score, per_subject
from src.evaluation.mistakes import worst_mistakes
from src.evaluation.predictions import Predictions
from src.files import digest, read_rows, write_csv, write_text
from src.models.backbones import BACKBONES
from src.plotting import save_png
from src.report import charts, words
from src.report.layers import HEAD, by_layer, convolutions
from src.report.literature import LiteratureReport, check_claim
from src.report.page import (
    Dataset,
    Page,
    chart,
    embed,
    hard_subjects,
    pairs,
    render,
    split_counts,
)
from src.report.results import Results, TrainingSummary, compare_experiments
from src.tracking.record import RunRecord

MISTAKES = 12  # shown on the page
EXAMPLES = "  python -m pipelines.report\n  dvc repro report && xdg-open reports/index.html"


def main(argv: Sequence[str] | None = None) -> None:
    """Write reports/index.html, reports/results.md and the charts as pictures."""
    parser("pipelines.report", str(main.__doc__), EXAMPLES).parse_args(argv)
    params = load_params()
    faces, predictions = FaceSet.load(paths.FACES), Predictions.load(paths.PREDICTIONS)
    curves = {name: read_curve(name) for name in params.experiments}
    results = compare_experiments(
        params.experiments,
        read_trained(params),
        read_scores(params),
        predictions,
        published.accuracies() if params.study is None else params.study.published,
    )
    best = results.best.name
    changes = read_changes(params, results)
    blocks = convolutions(BACKBONES[params.model.backbone], params.model.stem)
    drawn = {
        "accuracy": (charts.accuracy_chart(results), words.accuracy_alt(results)),
        "curves": (charts.curves_chart(curves, published.curves()), words.curves_alt(results)),
        "weight_change": (charts.weight_change_chart(changes, blocks), words.changes_alt(changes)),
        "confusion": (confusion_figure(predictions, best), f"Confusion matrix of {best}"),
        "confusions": (charts.confusions_chart(predictions), words.confusions_alt(results)),
    }
    mistakes = worst_mistakes(faces, predictions, best, MISTAKES)
    scores = per_subject(predictions.labels, predictions.predicted(best), predictions.subjects)
    page = Page(
        results=results,
        charts={name: chart(figure, alt) for name, (figure, alt) in drawn.items()},
        mistakes=pairs(faces, mistakes, predictions.subjects),
        hardest=hard_subjects(faces, predictions, best, scores),
        dataset=describe(params, faces),
        provenance=provenance(params),
        published_on=params.study.dataset if params.study else published.DATASET,
        study=check_study(params.study, curves, predictions),
    )
    texts = {path: render(page, path.name) for path in (paths.REPORT_PAGE, paths.REPORT_TEXT)}
    for name, (figure, _) in drawn.items():
        save_png(figure, paths.chart(name))
    write_learning(curves)
    for path, text in texts.items():
        write_text(path, text)
    print(f"{paths.REPORT_PAGE} holds the comparison; `make ui` shows the runs")


def check_study(
    study: LiteratureStudy | None, curves: dict[str, charts.Curve], predictions: Predictions
) -> LiteratureReport | None:
    """What a study's text claims, held against what was trained and answered here."""
    if study is None:
        return None
    networks = {name: paths.model(name) for name in curves}
    verdicts = tuple(check_claim(claim, networks, curves, predictions) for claim in study.claims)
    return LiteratureReport(study.text, verdicts)


def read(path: Path) -> Any:
    """A JSON file of an earlier stage; raises StaleInputError where it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StaleInputError(str(path), "missing or broken", "run `dvc repro`") from None


def read_scores(params: Params) -> dict[str, Score]:
    """Test figures of every experiment."""
    figures = read(paths.TEST_METRICS)
    if missing := [name for name in params.experiments if name not in figures]:
        what = f"has no figures of {', '.join(missing)}"
        raise StaleInputError(str(paths.TEST_METRICS), what, "run `dvc repro evaluate`")
    return {name: Score(**figures[name]) for name in params.experiments}


def read_trained(params: Params) -> dict[str, TrainingSummary]:
    """Training figures of every experiment."""
    return {
        name: _trained(
            read(paths.train_metrics(name)), selected=params.recipe_of(name).select == "best"
        )
        for name in params.experiments
    }


def _trained(figures: Any, selected: bool) -> TrainingSummary:
    val = figures["val"]
    return TrainingSummary(
        epochs=figures["epochs"],
        best_epoch=figures["best_epoch"],
        trainable_parameters=figures["trainable_parameters"],
        train_accuracy=figures["train"]["accuracy"],
        val=Proportion(val["accuracy"], val["accuracy_low"], val["accuracy_high"]),
        selected=selected and figures["epochs"] > 1,
    )


def read_curve(name: str) -> charts.Curve:
    """Accuracy by epoch of one experiment."""
    rows = read_rows(paths.curves(name))
    return charts.Curve(
        train=tuple(float(row["train_accuracy"]) for row in rows),
        val=tuple(float(row["val_accuracy"]) for row in rows),
        best_epoch=read(paths.train_metrics(name))["best_epoch"],
    )


def read_changes(params: Params, results: Results) -> dict[str, dict[str, float]]:
    """Weight change by layer of the experiments that moved the backbone, and of the reference.

    One that moved nothing is left out.
    """
    backbone = BACKBONES[params.model.backbone]
    layers = {
        layer for part in convolutions(backbone, params.model.stem).values() for layer in part
    }
    changes = {}
    for name in params.experiments:
        rows = read_rows(paths.weight_change(name))
        norms = by_layer({row["parameter"]: float(row["l2_change"]) for row in rows}, backbone)
        moved = {layer: norm for layer, norm in norms.items() if layer in layers and norm > 0}
        if set(moved) - {HEAD} or (moved and name == results.reference.name):
            changes[name] = moved
    return changes


def describe(params: Params, faces: FaceSet) -> Dataset:
    """What the page says of the data."""
    return Dataset(
        name=Path(params.data.origin).name,
        subjects=len(faces.subjects),
        image_size=params.data.image_size,
        counts=split_counts(faces),
        findings=tuple(_finding(each) for each in read(paths.AUDIT)["findings"]),
        contact_sheet=embed(
            paths.CONTACT_SHEET.read_bytes(), "image/png", "Contact sheet of the dataset"
        ),
    )


def _finding(found: Any) -> AuditFinding:
    files, dropped = tuple(found["files"]), tuple(found["dropped"])
    return AuditFinding(found["kind"], files, found["note"], dropped)


def provenance(params: Params) -> dict[str, str]:
    """Where the figures come from, for the foot of the page."""
    tags = [RunRecord.read(paths.run_record(name)).tags for name in params.experiments]
    commits = {
        f"{tag.get('git.commit', 'unknown')[:12]}"
        f"{' with uncommitted changes' if tag.get('git.dirty') == 'true' else ''}"
        for tag in tags
    }
    return {
        "trained by commit": ", ".join(sorted(commits)),
        "dataset": f"{params.data.origin}, packed as md5 {digest(paths.FACES)}",
        "source weights": params.weights.origin,
        "network": f"{params.model.backbone}, {params.model.stem} stem",
        "recipe": f"{params.recipe}: {_settings(params)}",
        "seed": str(params.seed),
    }


def _settings(params: Params) -> str:
    given = params.recipes[params.recipe].model_dump(exclude_unset=True)
    return ", ".join(f"{key} {value}" for key, value in given.items())


def write_learning(curves: dict[str, charts.Curve]) -> None:
    """All curves in one file, which is what `dvc plots` draws as one chart."""
    write_csv(
        paths.LEARNING,
        ("experiment", "images", "epoch", "progress", "accuracy"),
        (
            (name, images, epoch, round(progress, 3), accuracy)
            for name, curve in curves.items()
            for images, accuracies in (("training", curve.train), ("validation", curve.val))
            for epoch, (progress, accuracy) in enumerate(
                zip(curve.progress, accuracies, strict=True), 1
            )
        ),
    )


if __name__ == "__main__":
    run(main)
