"""Learning curves: accuracy by epoch, one curve per experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

STILL = 0.01  # gain in training accuracy, in the last third of the epochs, of what still learns
LEARNED = 0.99  # training accuracy that leaves nothing to gain
LEARNING_COLUMNS = ("experiment", "images", "epoch", "progress", "accuracy")


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy after each epoch, within [0, 1]; `best_epoch` counts from 1."""

    train: tuple[float, ...]
    val: tuple[float, ...]
    best_epoch: int

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]], best_epoch: int) -> LearningCurve:
        """From the rows of an experiment's plots/curves file."""
        train = tuple(float(row["train_accuracy"]) for row in rows)
        return cls(train, tuple(float(row["val_accuracy"]) for row in rows), best_epoch)

    @property
    def improving(self) -> bool:
        """Whether it was still learning at its last epoch, which is the best and was kept."""
        epochs = len(self.train)
        before = self.train[-1 - max(1, epochs // 3)] if epochs > 1 else 0.0
        last, kept_last = self.train[-1], self.best_epoch == epochs
        best = kept_last and self.val[-1] == max(self.val)
        return best and last < LEARNED and last - before > STILL

    @property
    def progress(self) -> list[float]:
        """How much of the training was done after each epoch, in percent."""
        return progress(len(self.val))


def progress(epochs: int) -> list[float]:
    """The share of the training that is done after each of `epochs` epochs, in percent."""
    return [100 * epoch / epochs for epoch in range(1, epochs + 1)]


def learning_rows(curves: Mapping[str, LearningCurve]) -> Iterator[tuple[object, ...]]:
    """All curves as rows of LEARNING_COLUMNS, which `dvc plots` draws as one chart."""
    for name, curve in curves.items():
        for images, accuracies in (("training", curve.train), ("validation", curve.val)):
            points = zip(curve.progress, accuracies, strict=True)
            for epoch, (done, accuracy) in enumerate(points, 1):
                yield name, images, epoch, round(done, 3), accuracy
