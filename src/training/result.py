"""The result of training, whichever engine ran it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan

import numpy as np
import torch
from torch import Tensor

from src.errors import DivergedError
from src.models.network import ModelSpec


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    seconds: on the clock, validation included; of heads trained in one batch, each one's share.
    images_per_second: of the training alone.
    """

    number: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    @classmethod
    def of(
        cls,
        number: int,
        train: Sequence[float],
        val: Sequence[float],
        learning_rate: float,
        seconds: float,
        images_per_second: float,
    ) -> Epoch:
        """`train` and `val` are means over the images, in the order of `score_sums`."""
        train_loss, train_accuracy = train
        val_loss, val_accuracy = val
        return cls(
            number=number,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=learning_rate,
            seconds=seconds,
            images_per_second=images_per_second,
        )

    @property
    def selection_key(self) -> tuple[float, float]:
        """As the function of this name."""
        return selection_key(self.val_accuracy, self.val_loss)

    @property
    def metrics(self) -> dict[str, float]:
        """The epoch under the metric names that every tracked run has.

        What stands before a slash is the section of MLflow's charts that a metric is in.
        """
        return {
            "train/loss": shortest(self.train_loss),
            "train/accuracy": shortest(self.train_accuracy),
            "val/loss": shortest(self.val_loss),
            "val/accuracy": shortest(self.val_accuracy),
            "lr": shortest(self.learning_rate),
            "seconds_per_epoch": self.seconds,
            "images_per_second": self.images_per_second,
        }


def shortest(value: float) -> float:
    """A float32 as the float64 with the fewest digits that it is the nearest float32 of.

    0.8333333134651184 was computed as 0.8333333. Other float64s are as they were.
    """
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def score_sums(logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
    """(scores, ...) of (..., B, C) logits: `loss`, which is summed over B already, and hits.

    They stay on the device, so that no step waits for the host. Every engine measures training
    and validation by this function: another score is a row here and two fields of `Epoch`.
    """
    return torch.stack([loss, (logits.argmax(-1) == labels).sum(-1)])


def divergence(epoch: Epoch, losses: Tensor, seed: int) -> DivergedError | None:
    """What is wrong with an epoch whose loss is not finite; None where it is.

    `losses` holds those of its batches, on the device: they are fetched only if their sum, which
    was fetched anyway, is not finite.
    """
    if isfinite(epoch.train_loss) and isfinite(epoch.val_loss):
        return None
    values = losses.tolist()
    batch = next((n for n, loss in enumerate(values, 1) if not isfinite(loss)), None)
    where = f"batch {batch} of {len(values)}" if batch else "validation"
    where = f"seed {seed}, epoch {epoch.number}, {where}"
    what = f"the loss is {values[batch - 1] if batch else epoch.val_loss}"
    if epoch.number == batch == 1:
        what += " before any step was taken, so the source weights are not finite or too large"
        return DivergedError(where, what, "run `dvc repro weights`, or choose other weights")
    what += ", most likely since the learning rate is too high"
    return DivergedError(where, what, f"lower it (it ended the epoch at {epoch.learning_rate:g})")


def selection_key(val_accuracy: float, val_loss: float) -> tuple[float, float]:
    """Orders epochs by validation accuracy, then by lower validation loss; NaN is worst."""
    return (-inf, -inf) if isnan(val_loss) else (val_accuracy, -val_loss)


OnEpoch = Callable[[Epoch], None]
OnSeedEpoch = Callable[[Epoch, int], None]  # the number counts an experiment's seeds from 0
OnResults = Callable[[tuple["TrainingResult", ...]], None]


@dataclass(frozen=True)
class TrainingResult:
    """A trained network: its weights after the chosen epoch, and its history."""

    state: Mapping[str, Tensor]
    spec: ModelSpec
    history: tuple[Epoch, ...]
    chosen: Epoch
    trained: frozenset[str]  # block names
    val_images: int
    trainable_parameters: int
    total_parameters: int
    weight_change: Mapping[str, float]


def choose(history: tuple[Epoch, ...], select: str) -> Epoch:
    """The epoch whose weights are kept: the last, or the (first) best on validation."""
    return history[-1] if select == "last" else max(history, key=lambda epoch: epoch.selection_key)


def ends_early(history: tuple[Epoch, ...], patience: int, first: int = 1) -> bool:
    """Whether `patience` epochs, none before `first`, have passed without a better one.

    Never if it is 0.
    """
    best = max(choose(history, "best").number, first - 1)
    return bool(patience) and history[-1].number - best >= patience
