"""Stage `train@NAME`: fine-tune one experiment, tracked in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from src import cli, paths
from src.config import Params, load_params, training_stage
from src.files import all_or_none, write_json, write_text
from src.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from pathlib import Path

    from src.training.job import TrainingJob
    from src.training.result import Epoch, TrainingResult


def main(argv: Sequence[str] | None = None) -> None:
    """Train the experiment named on the command line and write all its outputs."""
    parser = cli.parser(
        "pipelines.train",
        "Fine-tune one experiment of params.yaml and track it in MLflow.",
        "  python -m pipelines.train ModelA\n  dvc repro train@ModelA\n"
        "  torchrun --nproc-per-node 4 -m pipelines.train ModelA\n"
        "  dvc exp run -S experiments.ModelA.epochs=20 train@ModelA",
    )
    parser.add_argument("name", help="an entry under `experiments` in params.yaml")
    name = parser.parse_args(argv).name
    ranks = Ranks.launched()
    with ranks.joined():
        params = load_params()
        params.experiment(name)
        run(name, params, ranks)


def run(name: str, params: Params, ranks: Ranks = ALONE) -> None:
    """Train and track; files are written only once the training is complete.

    Of several ranks the first alone tracks and writes.
    """
    from src.tracking.job import job_params, job_tags
    from src.tracking.provenance import dataset_version
    from src.tracking.run import track
    from src.training.device import resolve
    from src.training.engine import check_ranks, run_seeds
    from src.training.features import Features
    from src.training.job import StartingPoint, TrainingJob
    from src.training.progress import epochs_bar

    starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
    compute = resolve(params.engine.device, params.engine.precision, ranks)
    job = TrainingJob.of(name, params, starting_point, paths.SCRATCH, compute=compute)
    check_ranks(job)
    seeds = params.seeds_of(name)
    if not ranks.first:
        run_seeds(job, seeds, lambda _epoch, _seed: None)
        return
    dataset = dataset_version(paths.FACES, starting_point.faces, params.data.origin)
    with ExitStack() as running:
        tracked = running.enter_context(
            track(
                experiment=params.tracking.experiment,
                name=name,
                params=job_params(job),
                dataset=dataset,
                stage=training_stage(name),
                record=paths.run_record(name),
                tags=job_tags(job),
                seeds=seeds,
                offline=params.tracking.offline,
            )
        )
        advance = running.enter_context(epochs_bar(name, job.experiment.epochs, len(seeds)))

        def on_epoch(epoch: Epoch, seed: int) -> None:
            advance(epoch, seed)
            tracked.log_epoch(epoch.number, epoch.metrics, seed)

        def on_results(results: Sequence[TrainingResult]) -> None:
            with all_or_none():
                write_outputs(job, seeds, results)
            for seed, fitted in enumerate(results):
                tracked.log_finals(final_metrics(fitted), seed)
            for path, common in artifacts(name):
                tracked.log_artifact(path, name=common)
            tracked.log_model(paths.model(name), example_images(job))
            running.close()  # writes the record, without which DVC runs the stage again

        features = Features.load(paths.FEATURES) if paths.FEATURES.exists() else None
        results = run_seeds(job, seeds, on_epoch, features, on_results)
    print(f"{name}: {summary(results)}")


def summary(results: Sequence[TrainingResult]) -> str:
    """The validation accuracy, in words."""
    accuracies = [fitted.chosen.val_accuracy for fitted in results]
    said = f"validation {fmean(accuracies):.1%}"
    if len(results) == 1:
        (fitted,) = results
        return f"{said} after epoch {fitted.chosen.number} of {len(fitted.history)}"
    low, high = (f"{100 * accuracy:.1f}" for accuracy in (min(accuracies), max(accuracies)))
    return f"{said} (mean of {len(results)} seeds, {low} to {high})"


def final_metrics(fitted: TrainingResult) -> dict[str, float]:
    """What the training with one seed ended with."""
    return {
        "best_epoch": fitted.chosen.number,
        "best_val/accuracy": fitted.chosen.metrics["val/accuracy"],
        "trainable_parameters": fitted.trainable_parameters,
        "total_parameters": fitted.total_parameters,
    }


def artifacts(name: str) -> list[tuple[Path, str]]:
    """Files of a run, with the name that each has in MLflow, the same in every run."""
    return [
        (paths.curves(name), "curves.csv"),
        (paths.weight_change(name), "weight_change.csv"),
        (paths.layers(name), "layers.txt"),
    ]


def write_outputs(
    job: TrainingJob, seeds: Sequence[int], results: Sequence[TrainingResult]
) -> None:
    """Metrics over all seeds; model, curves, weight change and layer table of the first."""
    from src.models.network import save_network
    from src.models.seeds import save_seed_states
    from src.models.summary import layer_table
    from src.training.tables import curves_csv, weight_change_csv

    name, (first, *further) = job.name, results
    write_text(paths.curves(name), curves_csv(first))
    write_text(paths.weight_change(name), weight_change_csv(first))
    write_text(paths.layers(name), layer_table(first.spec, first.trained))
    save_network(paths.model(name), first.state, first.spec)
    states = [fitted.state for fitted in further]
    save_seed_states(paths.seed_models(name), seeds, first.state, states)
    write_json(paths.train_metrics(name), train_metrics(job, results))


def train_metrics(job: TrainingJob, results: Sequence[TrainingResult]) -> dict[str, Any]:
    """Means over the seeds, with accuracies' standard deviations; epochs are the first seed's."""
    from src.evaluation.metrics import interval_of_means

    first, chosen = results[0], [fitted.chosen for fitted in results]
    val = _moments(
        losses=[epoch.val_loss for epoch in chosen],
        accuracies=[epoch.val_accuracy for epoch in chosen],
    )
    images = first.val_images
    interval = interval_of_means([epoch.val_accuracy for epoch in chosen], images)
    return {
        "seeds": len(results),
        "best_epoch": first.chosen.number,
        "epochs": len(first.history),
        "selected": job.selects_epoch,
        "trainable_parameters": first.trainable_parameters,
        "total_parameters": first.total_parameters,
        "train": _rounded(
            _moments(
                losses=[epoch.train_loss for epoch in chosen],
                accuracies=[epoch.train_accuracy for epoch in chosen],
            )
        ),
        "val": {
            **_rounded(val | {"accuracy_low": interval.low, "accuracy_high": interval.high}),
            "images": images,
        },
    }


def _moments(*, losses: Sequence[float], accuracies: Sequence[float]) -> dict[str, float]:
    means = {"loss": fmean(losses), "accuracy": fmean(accuracies)}
    return means | ({"accuracy_sd": stdev(accuracies)} if len(accuracies) > 1 else {})


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, 6) for key, value in values.items()}


def example_images(job: TrainingJob) -> Any:
    """(2, S, S, 3) uint8: two training images, for the model's input example."""
    from src.data.faceset import Split

    images, _ = job.starting_point.faces.mapped(Split.train)
    return images[:2].permute(0, 2, 3, 1).contiguous().numpy()


if __name__ == "__main__":
    cli.run(main)
