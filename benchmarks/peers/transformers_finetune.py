"""transformers: `Trainer` on a timm network, as in its guide and example of image classification.

Trainer's defaults (AdamW at 5e-5, linear decay, batches of 8), random resized crops and flips, a
checkpoint after every epoch, of which the best is loaded at the end.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torchvision import datasets
from torchvision.transforms import v2
from transformers import (
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from benchmarks.peers.measure import (
    DEVIATION,
    EVALUATION_BATCH,
    MEAN,
    Measurement,
    arguments,
    load_backbone,
)


class Clock(TrainerCallback):
    """Tells the measurement of each epoch's validation."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement

    def on_evaluate(self, *_: object, metrics: dict[str, float], **__: object) -> None:
        """Validation is over."""
        if not self.measurement.seconds:
            self.measurement.epoch(metrics["eval_accuracy"])


def collate(batch: list[tuple[Any, int]]) -> dict[str, Any]:
    """The images and labels under the names that the network takes."""
    images, labels = zip(*batch, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}


def hits(predicted: Any) -> dict[str, float]:
    """The metric that chooses the best checkpoint."""
    right = predicted.predictions.argmax(1) == predicted.label_ids
    return {"accuracy": float(right.mean())}


def main() -> None:
    """Fine-tune and write the result."""
    options = arguments(str(__doc__), batch_size=8).parse_args()
    set_seed(options.seed)
    last = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
    for_training = [v2.RandomResizedCrop(options.size), v2.RandomHorizontalFlip(), *last]
    for_evaluation = [v2.Resize(options.size), v2.CenterCrop(options.size), *last]
    training, validation, test = (
        datasets.ImageFolder(
            options.images / split,
            v2.Compose(for_training if split == "train" else for_evaluation),
            allow_empty=True,
        )
        for split in ("train", "val", "test")
    )
    config = TimmWrapperConfig(architecture="resnet18", num_labels=len(training.classes))
    network = TimmWrapperForImageClassification(config)
    load_backbone(network.timm_model, options.weights)
    measurement = Measurement(options)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=network,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=options.epochs,
                per_device_train_batch_size=options.batch_size,
                per_device_eval_batch_size=EVALUATION_BATCH,
                eval_strategy="epoch",
                save_strategy="epoch",
                save_total_limit=1,
                load_best_model_at_end=True,
                metric_for_best_model="accuracy",
                remove_unused_columns=False,
                dataloader_num_workers=options.workers,
                bf16=options.precision == "bfloat16",
                use_cpu=True,
                seed=options.seed,
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=training,
            eval_dataset=validation,
            data_collator=collate,
            compute_metrics=hits,
            callbacks=[Clock(measurement)],
        )
        measurement.start()
        trainer.train()
        measurement.stop()
        found = trainer.evaluate(test)["eval_accuracy"]
    accuracies = [accuracy for _, accuracy in measurement.history]
    kept = accuracies.index(max(accuracies)) + 1
    measurement.write(found, kept, ("transformers", "accelerate", "timm", "torch", "torchvision"))


if __name__ == "__main__":
    main()
