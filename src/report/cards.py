"""Cards of the best model and of its dataset, for whoever is handed them without the report.

After Mitchell et al. (2019), Model Cards for Model Reporting, and Gebru et al. (2021), Datasheets
for Datasets. Both are Markdown, short, and state only what is in the stages' files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.config.yaml_file import read_yaml
from src.data.audit import KINDS, AuditFinding
from src.data.faceset import Split
from src.evaluation.metrics import Proportion, wilson
from src.report.comparison import Comparison, ExperimentResult
from src.report.inputs import ReportInputs, commit
from src.report.page import environment
from src.tracking.record import RunRecord

NOT_STATED = "not known: the origin states no licence or terms"


@dataclass(frozen=True)
class SubjectCount:
    """The number of one subject's images in each split."""

    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class SubjectAccuracy:
    """The share of one subject's test images that the kept network named right."""

    name: str
    right: int
    images: int
    accuracy: Proportion


@dataclass(frozen=True)
class Card:
    """What both cards show; the model is the best by validation accuracy."""

    inputs: ReportInputs
    comparison: Comparison

    def render(self, template: str) -> str:
        """`model_card.md` or `dataset_card.md`; names in it are data and never markup."""
        return environment().get_template(f"{template}.jinja").render(card=self) + "\n"

    @property
    def best(self) -> ExperimentResult:
        """The experiment whose first network stage `register` registers."""
        return self.comparison.best

    @property
    def record(self) -> RunRecord:
        """How it was trained."""
        return self.inputs.records[self.best.name]

    @property
    def commit(self) -> str:
        """What trained it."""
        return commit(self.record)

    @property
    def recipe(self) -> str:
        """The name of the recipe and what it sets."""
        params = self.inputs.params
        name = self.best.experiment.recipe or params.recipe
        settings = params.recipe_of(self.best.name).model_dump(exclude_unset=True)
        return f"{name} ({', '.join(f'{key} {value}' for key, value in settings.items())})"

    @property
    def seeds(self) -> str:
        """The seeds that it was trained with; the first gave the network that is kept."""
        return ", ".join(map(str, self.inputs.params.seeds_of(self.best.name)))

    @property
    def weights(self) -> tuple[str, str]:
        """Where the source weights come from, and their licence."""
        params = self.record.params
        origin = params.get("weights.origin", self.inputs.params.weights.origin)
        return origin, params.get("weights.licence", "not recorded")

    @property
    def unknown(self) -> Mapping[str, Any] | None:
        """What the threshold for `unknown` does; None where there were no strangers."""
        found = self.inputs.unknown
        return found["scores"][found["score"]] if found.get("strangers") else None

    @property
    def accuracies(self) -> tuple[SubjectAccuracy, ...]:
        """Of every subject with test images, the one identified least often first."""
        predictions = self.inputs.predictions
        right = predictions.correct(self.best.name)[0]
        rows = []
        for number, name in enumerate(predictions.subjects):
            mine = right[predictions.labels == number]
            if len(mine):
                share = wilson(int(mine.sum()), len(mine))
                rows.append(SubjectAccuracy(name, int(mine.sum()), len(mine), share))
        return tuple(sorted(rows, key=lambda row: row.accuracy.value))

    @property
    def kept(self) -> SubjectAccuracy:
        """The same of all test images together, under the experiment's name."""
        right = self.inputs.predictions.correct(self.best.name)[0]
        share = wilson(int(right.sum()), len(right))
        return SubjectAccuracy(self.best.name, int(right.sum()), len(right), share)

    @property
    def counts(self) -> tuple[SubjectCount, ...]:
        """Images of every subject by split."""
        faces = self.inputs.faces
        splits = {
            split.name: np.bincount(
                faces.labels[faces.rows(split)].numpy(), minlength=len(faces.subjects)
            )
            for split in (Split.train, Split.val, Split.test)
        }
        return tuple(
            SubjectCount(name, **{split: int(found[number]) for split, found in splits.items()})
            for number, name in enumerate(faces.subjects)
        )

    @property
    def findings(self) -> Mapping[str, tuple[int, int]]:
        """Kind of audit finding, in words, to how many there are and how many images they cost."""
        found = self.inputs.findings
        return {
            kind.replace("_", " "): (sum(each.count for each in own), _dropped(own))
            for kind in KINDS
            if (own := [each for each in found if each.kind == kind])
        }

    @property
    def origin(self) -> str:
        """The path of the origin, with the md5 that DVC knows."""
        path, version = self.inputs.params.data.origin, self.record.dataset
        md5 = version.origin_md5 if version else None
        return f"{path}, md5 {md5}" if md5 else f"{path}, whose md5 was not recorded"

    @property
    def rendered(self) -> bool:
        """Whether the faces are drawn by this project, and so show nobody."""
        return self._origin_file.get("kind") in ("synthetic", "objects")

    @property
    def licence(self) -> str:
        """The terms of use of the images, as far as the origin file states them."""
        stated = self._origin_file.get("licence")
        if stated:
            return str(stated)
        return "this project's own, which renders the images" if self.rendered else NOT_STATED

    @property
    def _origin_file(self) -> Mapping[str, Any]:
        path = Path(self.inputs.params.data.origin)
        if path.suffix not in (".yaml", ".yml") or not path.is_file():
            return {}
        content = read_yaml(path)
        return content if isinstance(content, dict) else {}


def _dropped(findings: Iterable[AuditFinding]) -> int:
    """How many images were left out for them; an empty subject has none."""
    counted = (each for each in findings if each.kind != "empty_subject")
    return len({file for each in counted for file in each.dropped})
