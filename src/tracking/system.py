"""Samples of the machine while a run lasts, by MLflow's own monitors.

MLflow's sampling thread asks the database for the run's state at every sample, and a run shorter
than one interval gets none. This one keeps samples in memory, takes the first at the end of the
shortest run too, and waits longer the longer a run lasts, so that a second and a day alike have
between one and some hundred samples.
"""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType
from typing import Any

from src.tracking.record import MetricPoint, now

FIRST = 0.5  # seconds to the first sample
GROWTH = 1.05  # of the interval, from sample to sample


class SystemSampler:
    """Samples within a `with` block; `points` are complete after it. Keys start `system/`."""

    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

        self.points: list[MetricPoint] = []
        self._monitors: list[Any] = [CPUMonitor(), *_gpu()]
        self._stop = Event()
        self._thread = Thread(target=self._sample, daemon=True, name="system-metrics")

    def __enter__(self) -> SystemSampler:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        interval, stopped = FIRST, False
        while not stopped:
            stopped = self._stop.wait(interval)
            if not (stopped and self.points):
                self.points.append(
                    MetricPoint(step=len(self.points), time=now(), metrics=self._measure())
                )
            interval *= GROWTH

    def _measure(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            metrics |= {
                f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()
            }
            monitor.clear_metrics()
        return metrics


def _gpu() -> list[Any]:
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [GPUMonitor()]
    except Exception:  # no GPU, no driver or no library for it: all the same here
        return []
