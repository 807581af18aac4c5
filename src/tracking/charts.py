"""The charts with which our view of MLflow's page of runs begins.

MLflow adds one for every other metric, in sections named after the first part of its name.
"""

from __future__ import annotations

from typing import Any

OURS, TALL = "Comparison", 420  # our section, and the pixels of a chart in which ten names fit
GENERATED = ("val", "train", "test", "best_val", "Model metrics")  # sections, in this order
LAST = "System metrics"  # folded, as they say nothing of how good a network is
BARS, LINES, POINTS = "BAR", "LINE", "SCATTER"
SHOWN = "FIRST_20_RUNS"  # of the table, the best on test; more cannot be told apart
# By which runs are told apart: matplotlib's tab20, its ten strong colours first.
COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
    *("#aec7e8", "#ffbb78", "#98df8a", "#ff9896", "#c5b0d5"),
    *("#c49c94", "#f7b6d2", "#c7c7c7", "#dbdb8d", "#9edae5"),
)


def chart_state() -> dict[str, Any]:
    """What of the state of MLflow's page of runs is about charts."""
    ours = {"columns": 2, "cardHeight": TALL}
    return {
        "compareRunSections": [
            _section(OURS, **ours),
            *(_section(name) for name in GENERATED),
            _section(LAST, display=False),
        ],
        "compareRunCharts": [
            _bars("test/accuracy"),
            _points("trainable_parameters", "test/accuracy"),
            _lines("val/accuracy"),
            _lines("train/loss"),
        ],
        "isAccordionReordered": True,  # or MLflow sorts the sections
        "runsHiddenMode": SHOWN,
    }


def _section(name: str, **more: Any) -> dict[str, Any]:
    state = {"uuid": name, "name": name, "display": True, "isReordered": False}
    return {**state, "deleted": False, "isGenerated": name != OURS, **more}


def _bars(metric: str) -> dict[str, Any]:
    return _chart(BARS, metric, metricKey=metric)


def _points(across: str, up: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": across, "type": "METRIC"}, "yaxis": {"key": up, "type": "METRIC"}}
    return _chart(POINTS, across, **axes)


def _lines(metric: str) -> dict[str, Any]:
    """A metric by epoch."""
    axes = {"xAxisKey": "step", "yAxisKey": "metric", "yAxisExpressions": [], "range": {}}
    scales = {"xAxisScaleType": "linear", "scaleType": "linear", "lineSmoothness": 0}
    common = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "ignoreOutliers": False}
    more = {"metricKey": metric, "selectedXAxisMetricKey": "", **axes, **scales, **common}
    return _chart(LINES, metric, **more)


def _chart(kind: str, uuid: str, **more: Any) -> dict[str, Any]:
    state = {"type": kind, "uuid": f"{kind} {uuid}", "metricSectionId": OURS}
    return {**state, "deleted": False, "isGenerated": False, "runsCountToCompare": 20, **more}
