"""The report as one HTML page that needs no other file, and as a short Markdown text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.config import Params
from src.data.audit import AuditFinding
from src.data.faceset import Split
from src.evaluation import published
from src.report import words
from src.report.charts import Chart
from src.report.comparison import Comparison
from src.report.embedded import EmbeddedImage, embed, embed_figure
from src.report.inputs import ReportInputs
from src.report.literature import LiteratureReport, check_study
from src.report.photos import HardSubject, MistakePair, hard_subjects, mistake_pairs

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


@dataclass(frozen=True)
class DatasetSummary:
    """What the page says of the dataset. `counts`: split to images."""

    name: str
    subjects: int
    image_size: int
    counts: Mapping[str, int]
    findings: tuple[AuditFinding, ...]
    contact_sheet: EmbeddedImage

    @classmethod
    def of(cls, inputs: ReportInputs) -> DatasetSummary:
        """The summary of the dataset that the report is about."""
        data, faces = inputs.params.data, inputs.faces
        return cls(
            name=Path(data.origin).name,
            subjects=len(faces.subjects),
            image_size=data.image_size,
            counts={split.name: len(faces.rows(split)) for split in Split},
            findings=inputs.findings,
            contact_sheet=embed(inputs.contact_sheet, "image/png", "Contact sheet of the dataset"),
        )

    @property
    def found(self) -> Mapping[str, int]:
        """Kind of audit finding, in words, to how many there are."""
        return Counter(finding.kind.replace("_", " ") for finding in self.findings)


@dataclass(frozen=True)
class Page:
    """Everything the templates show. `provenance` is label to text, in order."""

    comparison: Comparison
    charts: Mapping[str, EmbeddedImage]
    mistakes: tuple[MistakePair, ...]
    hardest: tuple[HardSubject, ...]
    dataset: DatasetSummary
    provenance: Mapping[str, str]
    published_on: str
    study: LiteratureReport | None

    @classmethod
    def of(cls, inputs: ReportInputs, comparison: Comparison, charts: Mapping[str, Chart]) -> Page:
        """The page's parts, the photos as the best experiment named them."""
        best, study = comparison.best.name, inputs.params.study
        return cls(
            comparison=comparison,
            charts={name: embed_figure(chart.figure, chart.alt) for name, chart in charts.items()},
            mistakes=mistake_pairs(inputs.faces, inputs.predictions, best),
            hardest=hard_subjects(inputs.faces, inputs.predictions, best),
            dataset=DatasetSummary.of(inputs),
            provenance=_provenance(inputs),
            published_on=study.dataset if study else published.DATASET,
            study=check_study(study, inputs) if study else None,
        )

    def render(self, template: str) -> str:
        """`index.html` or `results.md`; names in it are data and never markup."""
        return _environment().get_template(f"{template}.jinja").render(page=self)


def _provenance(inputs: ReportInputs) -> dict[str, str]:
    params = inputs.params
    return {
        "trained by commit": ", ".join(inputs.commits),
        "dataset": f"{params.data.origin}, packed as md5 {inputs.faces_md5}",
        "source weights": params.weights.origin,
        "network": f"{params.model.backbone}, {params.model.stem} stem",
        "recipe": f"{params.recipe}: {_settings(params)}",
        "seed": str(params.seed),
    }


def _settings(params: Params) -> str:
    given = params.recipes[params.recipe].model_dump(exclude_unset=True)
    return ", ".join(f"{key} {value}" for key, value in given.items())


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("src.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words)
    environment.filters["markdown"] = escape_markdown
    return environment


def escape_markdown(text: str) -> Markup:
    """Text that a Markdown table cell shows as it is."""
    from markupsafe import Markup

    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return Markup("".join(f"\\{sign}" if sign in "\\`*_[]|" else sign for sign in escaped))  # noqa: S704
