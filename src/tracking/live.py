"""The metrics of one MLflow run in progress, which reach it in batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from src.tracking.children import Status
from src.tracking.delivery import Delivery
from src.tracking.record import MetricPoint, now
from src.tracking.writing import log_points

FLUSH = 2.0  # seconds that metrics may wait to be written in one batch


@dataclass
class LiveRun:
    """A run that is open in MLflow until `end`."""

    delivery: Delivery
    run_id: str
    started: int = field(default_factory=now)
    epochs: list[MetricPoint] = field(default_factory=list)
    finals: dict[str, float] = field(default_factory=dict)
    _pending: list[MetricPoint] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)

    def log_epoch(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one epoch."""
        values = {key: float(value) for key, value in metrics.items()}
        self.add_epoch(MetricPoint(step=step, time=now(), metrics=values))

    def add_epoch(self, epoch: MetricPoint) -> None:
        """The same with a time."""
        self.epochs.append(epoch)
        self._pending.append(epoch)
        if time.monotonic() - self._flushed > FLUSH:
            self.flush()

    def log_finals(self, metrics: Mapping[str, float]) -> None:
        """Keep metrics of the whole run, for its end."""
        self.finals |= {key: float(value) for key, value in metrics.items()}

    @property
    def last(self) -> int:
        """The time of the last epoch, or of the start, in milliseconds since 1970."""
        return self.epochs[-1].time if self.epochs else self.started

    def flush(self) -> None:
        """Write the metrics that wait."""
        pending = self._pending
        self.delivery.send(lambda store: log_points(store, self.run_id, pending))
        self._pending = []
        self._flushed = time.monotonic()

    def end(self, status: Status, ended: int | None = None) -> None:
        """Write what is pending, and end the run whether or not that succeeds."""
        try:
            self.flush()
        finally:
            self.delivery.send(
                lambda store: store.client.set_terminated(self.run_id, status, ended)
            )
