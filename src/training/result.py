"""The result of training, whichever engine ran it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan

import torch
from torch import Tensor

from src.models.network import ModelSpec


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    seconds: on the clock, validation included. images_per_second: of the training alone.
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
        """The epoch under the metric names that every tracked run has."""
        return {
            "train/loss": self.train_loss,
            "train/accuracy": self.train_accuracy,
            "val/loss": self.val_loss,
            "val/accuracy": self.val_accuracy,
            "lr": self.learning_rate,
            "seconds/epoch": self.seconds,
            "images/second": self.images_per_second,
        }


def score_sums(logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
    """(scores, ...) of (..., B, C) logits: `loss`, which is summed over B already, and hits.

    They stay on the device, so that no step waits for the host. Every engine measures training
    and validation by this function: another score is a row here and two fields of `Epoch`.
    """
    return torch.stack([loss, (logits.argmax(-1) == labels).sum(-1)])


def selection_key(val_accuracy: float, val_loss: float) -> tuple[float, float]:
    """Orders epochs by validation accuracy, then by lower validation loss; NaN is worst."""
    return (-inf, -inf) if isnan(val_loss) else (val_accuracy, -val_loss)


OnEpoch = Callable[[Epoch], None]
OnSeedEpoch = Callable[[Epoch, int], None]  # the number counts an experiment's seeds from 0


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


def ends_early(history: tuple[Epoch, ...], patience: int) -> bool:
    """Whether `patience` epochs have passed without a better one; never if it is 0."""
    best = choose(history, "best").number
    return bool(patience) and history[-1].number - best >= patience
