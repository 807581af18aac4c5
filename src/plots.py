"""`python -m src.plots`: what `dvc plots show` draws, in a page that needs no network.

DVC's own page loads Vega, which draws the plots, from a public server. Here the page holds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from src.cli import parser, run
from src.files import write_text
from src.paths import SCRATCH

TEMPLATE = SCRATCH / "plots.html"
VEGA_LITE = "5.21"  # DVC's plots are written for version 5
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots</title>
<script>
%s
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""
EXAMPLES = """\
  python -m src.plots
  python -m src.plots plots/learning.csv"""


def main(argv: Sequence[str] | None = None) -> None:
    """Write dvc_plots/index.html, which shows the plots of dvc.yaml without a network.

    All options and targets are those of `dvc plots show`.
    """
    arguments = parser("src.plots", str(main.__doc__), EXAMPLES)
    _, given = arguments.parse_known_args(argv)

    from vl_convert import javascript_bundle

    vega = javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE).replace(
        "</script", r"<\/script"
    )
    write_text(TEMPLATE, PAGE % vega)
    command = [sys.executable, "-m", "dvc", "plots", "show", "--html-template", str(TEMPLATE)]
    os.execv(sys.executable, [*command, *given])  # noqa: S606


if __name__ == "__main__":
    run(main)
