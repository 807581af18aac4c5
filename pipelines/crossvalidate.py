"""Stage `crossvalidate` of crossvalidation/dvc.yaml: every image by a network without it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from src import cli, paths
from src.config import Params, load_params
from src.crossvalidate import outputs
from src.files import all_or_none, write_json, write_text

if TYPE_CHECKING:
    from src.crossvalidate.result import FoldResult
    from src.crossvalidate.summary import Row
    from src.data.faceset import FaceSet
    from src.evaluation.predictions import Predictions
    from src.tracking.folds import CrossValidationRun
    from src.training.job import StartingPoint

EXAMPLES = """\
  python -m pipelines.crossvalidate --folds 5 Baseline ModelA
  dvc repro crossvalidation/dvc.yaml"""

RESEND = "dvc repro --force --single-item crossvalidation/dvc.yaml"  # trains no fold again


def main(argv: Sequence[str] | None = None) -> None:
    """Train each experiment once per fold, and write and track the figures over all images."""
    parser = cli.parser("pipelines.crossvalidate", str(main.__doc__), EXAMPLES)
    parser.add_argument("names", nargs="+", metavar="NAME", help="experiments of params.yaml")
    parser.add_argument("--folds", type=int, required=True, help="how many")
    options = parser.parse_args(argv)
    params = load_params()
    for name in options.names:
        params.experiment(name)
    run(options.names, options.folds, params)


def run(names: Sequence[str], count: int, params: Params) -> None:
    """Train what is missing; files are written only once every fold is complete."""
    from src.crossvalidate.folds import make_folds
    from src.crossvalidate.summary import accuracy_figure, compare, page
    from src.plotting import save_png
    from src.tracking.folds import log_crossvalidations
    from src.training.job import StartingPoint

    start = StartingPoint.load(paths.FACES, paths.SOURCE)
    folds = make_folds(start.faces, count, params)
    results = {name: _train(name, params, start, folds) for name in names}
    predictions = pooled(start.faces, results)
    rows = compare(
        predictions, {name: [fold.accuracy for fold in each] for name, each in results.items()}
    )
    with all_or_none():
        predictions.save(outputs.PREDICTIONS)
        write_json(outputs.METRICS, {row.name: row.metrics for row in rows})
        write_text(outputs.TABLE, page(rows, len(start.faces.subjects)))
        save_png(accuracy_figure(rows), outputs.FIGURE)
    if params.tracking.offline:
        print(f"once tracking.offline is false, `{RESEND}` sends the runs to MLflow")
        return
    runs = [_run(row, params, start, folds, results[row.name]) for row in rows]
    log_crossvalidations(params.tracking.experiment, runs, RESEND)


def _train(
    name: str, params: Params, start: StartingPoint, folds: Sequence[FaceSet]
) -> list[FoldResult]:
    from src.crossvalidate.training import train_folds

    results = []
    for result, trained in train_folds(name, params, start, folds, paths.SCRATCH):
        results.append(result)
        seconds = (result.ended - result.started) / 1000
        print(
            f"{name}, fold {len(results)} of {len(folds)}: {result.accuracy:.1%} of "
            f"{len(result.rows)} images"
            + (f", trained in {seconds:.1f} s" if trained else ", kept from an earlier run"),
            flush=True,
        )
    return results


def pooled(faces: FaceSet, results: dict[str, list[FoldResult]]) -> Predictions:
    """The folds' predictions of each experiment as one table, in the dataset's order."""
    import torch

    from src.evaluation.predictions import Predictions

    logits = {}
    for name, folds in results.items():
        order = torch.cat([fold.rows for fold in folds]).argsort()
        logits[name] = torch.cat([fold.logits for fold in folds])[order][None].numpy()
    rows = torch.arange(len(faces))
    labels, images = faces.labels.numpy(), faces.digest(rows)
    return Predictions(logits, labels, rows.numpy(), faces.subjects, images=images)


def _run(
    row: Row,
    params: Params,
    start: StartingPoint,
    folds: Sequence[FaceSet],
    results: Sequence[FoldResult],
) -> CrossValidationRun:
    """The MLflow run of an experiment, with a child for each fold."""
    from src.crossvalidate.training import fold_job, fold_key
    from src.tracking.folds import CrossValidationRun, FoldRun
    from src.tracking.job import job_params, job_tags
    from src.tracking.provenance import dataset_version
    from src.tracking.record import MetricPoint

    jobs = [fold_job(row.name, params, start, faces, paths.SCRATCH) for faces in folds]
    key = hashlib.sha256(" ".join([row.name, *map(fold_key, jobs)]).encode()).hexdigest()
    children = [
        FoldRun(
            fold.started,
            fold.ended,
            (
                *(
                    MetricPoint(step=epoch.number, time=fold.ended, metrics=epoch.metrics)
                    for epoch in fold.history
                ),
                MetricPoint(
                    step=0,
                    time=fold.ended,
                    metrics={"best_epoch": fold.chosen, "test/accuracy": fold.accuracy},
                ),
            ),
        )
        for fold in results
    ]
    return CrossValidationRun(
        name=row.name,
        key=key,
        params={**job_params(jobs[0]), "folds": len(folds)},
        tags=job_tags(jobs[0]),
        dataset=dataset_version(paths.FACES, start.faces, params.data.origin),
        metrics={f"test/{name}": value for name, value in row.score.as_dict().items()},
        folds=children,
    )


if __name__ == "__main__":
    cli.run(main)
