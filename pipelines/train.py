"""Stage `train@NAME`: fine-tune one experiment, tracked in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines import paths
from src import cli
from src.config import Params, load_params
from src.files import write_json, write_text

if TYPE_CHECKING:
    from src.training.fit import Fit
    from src.training.result import Epoch, Fitted


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
    from src.tracking.provenance import dataset_version
    from src.tracking.run import track
    from src.tracking.training import fit_params, fit_tags
    from src.training.engine import fit
    from src.training.features import Features
    from src.training.fit import Fit, Inventory
    from src.training.progress import epochs_bar

    inventory = Inventory.load(paths.FACES, paths.SOURCE)
    work = Fit.of(name, params, inventory, paths.SCRATCH)
    dataset = dataset_version(paths.FACES, inventory.faces, params.data.origin)
    with (
        track(
            experiment=params.tracking.experiment,
            name=name,
            params=fit_params(work),
            dataset=dataset,
            stage=f"train@{name}",
            record=paths.run_record(name),
            tags=fit_tags(work),
        ) as tracked,
        epochs_bar(name, work.experiment.epochs) as advance,
    ):

        def on_epoch(epoch: Epoch) -> None:
            advance(epoch)
            tracked.epoch(epoch.number, epoch.metrics)

        features = Features.load(paths.FEATURES) if paths.FEATURES.exists() else None
        fitted = fit(work, on_epoch, features)
        write_outputs(name, fitted)
        tracked.finals(final_metrics(fitted))
        for path, folder in artifacts(name):
            tracked.artifact(path, folder)
        tracked.model(paths.model(name), example_pictures(work))
    chosen, epochs = fitted.chosen, len(fitted.history)
    print(f"{name}: validation {chosen.val_accuracy:.1%} after epoch {chosen.number} of {epochs}")


def final_metrics(fitted: Fitted) -> dict[str, float]:
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


def write_outputs(name: str, fitted: Fitted) -> None:
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


def example_pictures(work: Fit) -> Any:
    """(2, S, S, 3) uint8: two training pictures, for the model's input example."""
    from src.data.faceset import Split

    images, _ = work.inventory.faces.part(Split.train)
    return images[:2].permute(0, 2, 3, 1).contiguous().numpy()


if __name__ == "__main__":
    cli.run(main)
