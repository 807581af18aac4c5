"""Stage `train@NAME`: fine-tune one experiment, tracked in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from src import cli, paths
from src.config import Params, load_params
from src.files import write_json, write_text

if TYPE_CHECKING:
    from src.training.job import TrainingJob
    from src.training.result import Epoch, TrainingResult


def main(argv: Sequence[str] | None = None) -> None:
    """Train the experiment named on the command line and write all its outputs."""
    parser = cli.parser(
        "pipelines.train",
        "Fine-tune one experiment of params.yaml and track it in MLflow.",
        "  python -m pipelines.train ModelA\n  dvc repro train@ModelA\n"
        "  dvc exp run -S experiments.ModelA.epochs=20 train@ModelA",
    )
    parser.add_argument("name", help="an entry under `experiments` in params.yaml")
    name = parser.parse_args(argv).name
    params = load_params()
    params.experiment(name)
    run(name, params)


def run(name: str, params: Params) -> None:
    """Train and track; files are written only once the training is complete."""
    from src.models.seeds import save_seed_states
    from src.tracking.job import job_params, job_tags
    from src.tracking.provenance import dataset_version
    from src.tracking.run import track
    from src.training.engine import run_job
    from src.training.features import Features
    from src.training.job import StartingPoint, TrainingJob
    from src.training.progress import epochs_bar

    starting_point = StartingPoint.load(paths.FACES, paths.SOURCE)
    job = TrainingJob.of(name, params, starting_point, paths.SCRATCH)
    dataset = dataset_version(paths.FACES, starting_point.faces, params.data.origin)
    with (
        track(
            experiment=params.tracking.experiment,
            name=name,
            params=job_params(job),
            dataset=dataset,
            stage=f"train@{name}",
            record=paths.run_record(name),
            tags=job_tags(job),
        ) as tracked,
        epochs_bar(name, job.experiment.epochs) as advance,
    ):

        def on_epoch(epoch: Epoch) -> None:
            advance(epoch)
            tracked.log_epoch(epoch.number, epoch.metrics)

        features = Features.load(paths.FEATURES) if paths.FEATURES.exists() else None
        fitted = run_job(job, on_epoch, features)
        write_outputs(name, fitted)
        save_seed_states(paths.seed_models(name), [job.params.seed], fitted.state, [])
        tracked.log_finals(final_metrics(fitted))
        for path, folder in artifacts(name):
            tracked.log_artifact(path, folder)
        tracked.log_model(paths.model(name), example_images(job))
    chosen, epochs = fitted.chosen, len(fitted.history)
    print(f"{name}: validation {chosen.val_accuracy:.1%} after epoch {chosen.number} of {epochs}")


def final_metrics(fitted: TrainingResult) -> dict[str, float]:
    """What the run ended with."""
    return {
        "best_epoch": fitted.chosen.number,
        "best_val/accuracy": fitted.chosen.val_accuracy,
        "trainable_parameters": fitted.trainable_parameters,
        "total_parameters": fitted.total_parameters,
    }


def artifacts(name: str) -> list[tuple[Any, str]]:
    """Files of a run, with the folder each goes to."""
    return [
        (paths.curves(name), "curves"),
        (paths.weight_change(name), "weights"),
        (paths.layers(name), "weights"),
    ]


def write_outputs(name: str, fitted: TrainingResult) -> None:
    """Model, metrics, curves, weight change and layer table."""
    from src.evaluation.metrics import wilson
    from src.models.network import save_network
    from src.models.summary import layer_table
    from src.training.tables import curves_csv, weight_change_csv

    chosen = fitted.chosen
    images = fitted.val_images
    interval = wilson(round(chosen.val_accuracy * images), images)
    metrics = {
        "best_epoch": chosen.number,
        "epochs": len(fitted.history),
        "trainable_parameters": fitted.trainable_parameters,
        "total_parameters": fitted.total_parameters,
        "train": _rounded(loss=chosen.train_loss, accuracy=chosen.train_accuracy),
        "val": {
            **_rounded(
                loss=chosen.val_loss,
                accuracy=chosen.val_accuracy,
                accuracy_low=interval.low,
                accuracy_high=interval.high,
            ),
            "images": images,
        },
    }
    write_text(paths.curves(name), curves_csv(fitted))
    write_text(paths.weight_change(name), weight_change_csv(fitted))
    write_text(paths.layers(name), layer_table(fitted.spec, fitted.trained))
    save_network(paths.model(name), fitted.state, fitted.spec)
    write_json(paths.train_metrics(name), metrics)


def _rounded(**values: float) -> dict[str, float]:
    return {key: round(value, 6) for key, value in values.items()}


def example_images(job: TrainingJob) -> Any:
    """(2, S, S, 3) uint8: two training images, for the model's input example."""
    from src.data.faceset import Split

    images, _ = job.starting_point.faces.part(Split.train)
    return images[:2].permute(0, 2, 3, 1).contiguous().numpy()


if __name__ == "__main__":
    cli.run(main)
