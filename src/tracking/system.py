"""System metrics of a run under MLflow's names, sampled in a thread of ours.

The thread of `mlflow.enable_system_metrics_logging` queries the database for the run at every
sample, and logs nothing in a run shorter than one interval (10 s by default). This one keeps the
samples in memory, where the run's record takes them from; samples even the shortest run once; and
lengthens the interval as a run goes on, so that a day has some two hundred samples. MLflow's own
monitor measures GPUs; without it, as in an offline run, they are left out.
"""

from __future__ import annotations

from threading import Event, Thread
from types import TracebackType
from typing import Any

from src.tracking.record import MetricPoint, now

FIRST = 0.5  # seconds to the first sample
GROWTH = 1.05  # factor from one interval to the next


class SystemSampler:
    """Samples during a `with` block; `points`, keyed `system/...`, are complete after it."""

    def __init__(self, gpu: bool = True) -> None:
        self.points: list[MetricPoint] = []
        self._monitors: list[Any] = _gpu() if gpu else []
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
        metrics = _machine()
        for monitor in self._monitors:
            monitor.collect_metrics()
            metrics |= {
                f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()
            }
            monitor.clear_metrics()
        return metrics


def _machine() -> dict[str, float]:
    """Processor and memory under MLflow's names, measured without importing it."""
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system/system_memory_usage_percentage": round(memory.used / memory.total * 100, 1),
    }


def _gpu() -> list[Any]:
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    try:
        return [GPUMonitor()]
    except Exception:  # it raises different ones for no GPU, no driver and no library
        return []
