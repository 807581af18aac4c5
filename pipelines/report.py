"""Stage `report`: compare the experiments in one HTML page, a Markdown text and charts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from src import paths
from src.cli import parser, run
from src.config import load_params
from src.files import all_or_none, write_csv, write_text
from src.plotting import save_png
from src.report.cards import Card
from src.report.charts import draw_charts
from src.report.curves import LEARNING_COLUMNS, learning_rows
from src.report.inputs import ReportInputs
from src.report.page import Page
from src.report.summary import Summary, print_summary

EXAMPLES = "  python -m pipelines.report\n  dvc repro report && xdg-open reports/index.html"
SUMMARY_FOLLOWS = "SUMMARY_FOLLOWS"  # set by `make repro`, which prints the summary itself


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, the text, two cards and a summary in reports/, and each chart as a PNG file.

    The cards describe the best model and its dataset to whoever is handed them.
    """
    parser("pipelines.report", str(main.__doc__), EXAMPLES).parse_args(argv)
    inputs = ReportInputs.load(load_params())
    comparison = inputs.compare()
    charts = draw_charts(inputs, comparison)
    page = Page.of(inputs, comparison, charts)
    # Rendered before anything is written, so that an error leaves the last report as it was.
    texts = {path: page.render(path.name) for path in (paths.REPORT_PAGE, paths.REPORT_TEXT)}
    card = Card(inputs, comparison)
    texts |= {path: card.render(path.name) for path in (paths.MODEL_CARD, paths.DATASET_CARD)}
    summary = Summary.of(comparison)
    with all_or_none():
        for name, chart in charts.items():
            save_png(chart.figure, paths.chart(name))
        write_csv(paths.LEARNING, LEARNING_COLUMNS, learning_rows(inputs.curves))
        for path, text in texts.items():
            write_text(path, text)
        summary.write()
    print(f"{paths.REPORT_PAGE}: the comparison of {len(inputs.params.experiments)} experiments")
    if SUMMARY_FOLLOWS not in os.environ:
        print()
        print_summary(summary)


if __name__ == "__main__":
    run(main)
