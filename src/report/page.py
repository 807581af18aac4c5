"""The report as one HTML page that needs no other file, and as a short Markdown text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.evaluation import published
from src.report import formats, steps, words
from src.report.charts import Chart
from src.report.comparison import Comparison
from src.report.images import (
    EmbeddedImage,
    HardSubject,
    MistakePair,
    embed,
    embed_figure,
    hard_subjects,
    mistake_pairs,
)
from src.report.inputs import ReportInputs
from src.report.literature import ClaimVerdict, check_claim
from src.report.strangers import Strangers

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True)
class Page:
    """Everything the templates show; the photos are as the best experiment named them."""

    inputs: ReportInputs
    comparison: Comparison
    charts: Mapping[str, EmbeddedImage]
    contact_sheet: EmbeddedImage
    mistakes: tuple[MistakePair, ...]
    hardest: tuple[HardSubject, ...]
    verdicts: tuple[ClaimVerdict, ...]  # on the claims of a literature study
    strangers: Strangers | None

    @classmethod
    def of(cls, inputs: ReportInputs, comparison: Comparison, charts: Mapping[str, Chart]) -> Page:
        """Put the page together from what was read, compared and drawn."""
        faces, predictions, best = inputs.faces, inputs.predictions, comparison.best.name
        study = inputs.params.study
        return cls(
            inputs=inputs,
            comparison=comparison,
            charts={name: embed_figure(chart.figure, chart.alt) for name, chart in charts.items()},
            contact_sheet=embed(inputs.contact_sheet, "image/png", "Contact sheet of the dataset"),
            mistakes=mistake_pairs(faces, predictions, best),
            hardest=hard_subjects(faces, predictions, best),
            verdicts=tuple(check_claim(claim, inputs) for claim in study.claims) if study else (),
            strangers=Strangers.read(inputs.unknown),
        )

    @property
    def contents(self) -> Mapping[str, str]:
        """The page's sections: id to title."""
        shown = {
            "comparison": "comparison",
            "time": "accuracy and time",
            "claims": "claims" if self.inputs.params.study else "",
            "curves": "learning curves",
            "weights": "weights",
            "confusion": "confusion matrices",
            "mistakes": "worst mistakes",
            "hardest": "hardest subjects" if self.hardest else "",
            "strangers": "strangers" if self.strangers else "",
            "data": "data",
            "provenance": "provenance",
            "next": "next step",
        }
        return {name: title for name, title in shown.items() if title}

    @property
    def dataset(self) -> str:
        """The name of the dataset's file or folder."""
        return Path(self.inputs.params.data.origin).name

    @property
    def found(self) -> Mapping[str, int]:
        """Kind of audit finding, in words, to how many there are."""
        found = Counter[str]()
        for finding in self.inputs.findings:
            found[finding.kind.replace("_", " ")] += finding.count
        return found

    @property
    def published_on(self) -> str:
        """The dataset that the published figures are for."""
        study = self.inputs.params.study
        return study.dataset if study else published.DATASET

    @property
    def provenance(self) -> Mapping[str, str]:
        """What the results come from: label to text."""
        params = self.inputs.params
        return {
            "trained by commit": ", ".join(self.inputs.commits),
            "dataset": f"{params.data.origin}, packed as md5 {self.inputs.faces_md5}",
            "source weights": params.weights.origin,
            "network": f"{params.model.backbone}, {params.model.stem} stem",
            **self._recipes,
            "first seed": str(params.seed),
        }

    @property
    def _recipes(self) -> Mapping[str, str]:
        """The recipes that rows train by; where there are several, their labels name the rows."""
        params = self.inputs.params
        rows: dict[str, list[str]] = {}
        for name, experiment in params.experiments.items():
            rows.setdefault(experiment.recipe or params.recipe, []).append(name)
        found = {}
        for recipe, names in rows.items():
            settings = params.recipes[recipe].model_dump(exclude_unset=True)
            label = "recipe" if len(rows) == 1 else f"recipe of {formats.listed(names)}"
            found[label] = f"{recipe}: {', '.join(f'{k} {v}' for k, v in settings.items())}"
        return found

    def render(self, template: str) -> str:
        """`index.html` or `results.md`; names in it are data and never markup."""
        return environment().get_template(f"{template}.jinja").render(page=self)


def environment() -> Environment:
    """Templates in which names are data and never markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("src.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(formats=formats, steps=steps, words=words)
    environment.filters["markdown"] = escape_markdown
    return environment


def escape_markdown(text: str) -> Markup:
    """Text that a Markdown table cell shows as it is."""
    from markupsafe import Markup

    escaped = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;")
    return Markup("".join(f"\\{sign}" if sign in "\\`*_[]|$~" else sign for sign in escaped))  # noqa: S704
