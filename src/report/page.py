"""The report as one HTML page that needs nothing but itself, and as a short Markdown text."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.data.audit import AuditFinding
from src.data.faceset import FaceSet, Split
from src.evaluation import published
from src.evaluation.metrics import SubjectScore
from src.evaluation.mistakes import Mistake, worst_subjects
from src.evaluation.predictions import Predictions
from src.plotting import picture, svg
from src.report import words
from src.report.literature import LiteratureReport
from src.report.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure
    from torch import Tensor

FACES_A_SUBJECT = 10  # of a hardest subject's test images, at most


@dataclass(frozen=True)
class EmbeddedImage:
    """An image that lies in the page itself, as a data URI."""

    source: str
    alt: str


@dataclass(frozen=True)
class Face:
    """One photo with what is said about it."""

    picture: EmbeddedImage
    caption: str
    right: bool = False


@dataclass(frozen=True)
class MistakePair:
    """A wrong answer: the photo, and a training photo of who it was taken for, if there is one."""

    shown: Face
    taken_for: Face | None
    called: str


@dataclass(frozen=True)
class HardSubject:
    """A subject that is often named wrong, with its test photos."""

    name: str
    recall: float
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Dataset:
    """What the data section says. `counts`: split to images."""

    name: str
    subjects: int
    image_size: int
    counts: Mapping[str, int]
    findings: tuple[AuditFinding, ...]
    contact_sheet: EmbeddedImage

    @property
    def found(self) -> Mapping[str, int]:
        """How often the audit found each kind of thing, the kinds as people write them."""
        return Counter(finding.kind.replace("_", " ") for finding in self.findings)


@dataclass(frozen=True)
class Page:
    """Everything the templates show. `provenance` is label to text, in order."""

    results: Results
    charts: Mapping[str, EmbeddedImage]
    mistakes: tuple[MistakePair, ...]
    hardest: tuple[HardSubject, ...]
    dataset: Dataset
    provenance: Mapping[str, str]
    published_on: str = published.DATASET
    study: LiteratureReport | None = None


def render(page: Page, template: str) -> str:
    """`index.html` or `results.md` of a page; names in it are data and never markup."""
    return _environment().get_template(f"{template}.jinja").render(page=page)


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


def embed(content: bytes, kind: str, alt: str) -> EmbeddedImage:
    """A file's bytes as a picture in the page; `kind` is its MIME type."""
    return EmbeddedImage(f"data:{kind};base64,{base64.b64encode(content).decode()}", alt)


def chart(drawn: Figure, alt: str) -> EmbeddedImage:
    """A figure as SVG in the page."""
    return embed(svg(drawn).encode(), "image/svg+xml", alt)


def photo(image: Tensor, alt: str) -> EmbeddedImage:
    """A (3, H, W) uint8 image in the page."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture(image)).save(content, "PNG")
    return embed(content.getvalue(), "image/png", alt)


def pairs(
    faces: FaceSet, mistakes: tuple[Mistake, ...], subjects: tuple[str, ...]
) -> tuple[MistakePair, ...]:
    """Wrong answers as the page shows them."""
    return tuple(_pair(faces, mistake, subjects) for mistake in mistakes)


def _pair(faces: FaceSet, mistake: Mistake, subjects: tuple[str, ...]) -> MistakePair:
    actual, predicted = subjects[mistake.actual], subjects[mistake.predicted]
    shown = Face(photo(faces.images[mistake.row], f"test image of {actual}"), actual)
    called = f"{predicted}, {mistake.probability:.0%}"
    if mistake.lookalike is None:
        return MistakePair(shown, None, called)
    alike = photo(faces.images[mistake.lookalike], f"training image of {predicted}")
    return MistakePair(shown, Face(alike, predicted), called)


def hard_subjects(
    faces: FaceSet,
    predictions: Predictions,
    experiment: str,
    scores: tuple[SubjectScore, ...],
    count: int = 6,
) -> tuple[HardSubject, ...]:
    """The subjects with the lowest recall and their test photos, wrong answers first."""
    predicted = predictions.predicted(experiment)
    found = []
    for subject in worst_subjects(scores, count):
        name = predictions.subjects[subject]
        photos = tuple(
            Face(
                photo(faces.images[int(predictions.rows[index])], f"test image of {name}"),
                predictions.subjects[predicted[index]],
                bool(predicted[index] == predictions.labels[index]),
            )
            for index in predictions.of_subject(experiment, subject)[:FACES_A_SUBJECT]
        )
        found.append(HardSubject(name, scores[subject].recall, photos))
    return tuple(found)


def split_counts(faces: FaceSet) -> dict[str, int]:
    """Images in each split."""
    return {split.name: len(faces.rows(split)) for split in Split}
