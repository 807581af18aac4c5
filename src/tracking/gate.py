"""The gate: whether a version of a registered model may replace the champion, and why.

By the versions' tags, by their networks, or by both networks' answers to the candidate's validation
images; docs/registry.md explains the rules.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.config import load_params
from src.config.tracking import Tracking
from src.errors import StaleInputError, TrackingError, WeightsError
from src.tracking.champion import (
    CLASSES,
    DATA,
    MODEL_MD5,
    ORIGIN,
    ROLLED_BACK,
    SIZE,
    THRESHOLD_MD5,
    description,
    own_record,
    versions_of,
)
from src.tracking.comparison import Comparison, load_faces, measure
from src.tracking.model import has_files
from src.tracking.store import Backend

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Verdict = tuple[bool, str]


def gate_of(path: Path) -> str:
    """`tracking.gate` of the params.yaml in `path`; its default where there is none."""
    return load_params(path).tracking.gate if path.is_file() else Tracking().gate


def is_lost(backend: Backend, version: ModelVersion) -> bool:
    """Whether the model that a version names is gone from where it was stored, or another."""
    return not has_files(backend, version.source, version.tags.get(MODEL_MD5, ""))


def verdict(
    backend: Backend,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    faces: Path | None,
    runs: Path,
    gate: str,
) -> Verdict:
    """Whether the candidate becomes the champion, and the reason.

    `faces` is its packed dataset, `runs` the folder of records.
    """
    if champion is None:
        return True, "there was none before"
    if decided := _by_tags(backend, candidate, champion):
        return decided
    if is_lost(backend, champion) and not own_record(champion, runs):
        lost = f"the files of {_called(champion)} are lost"
        return True, f"{lost}, and no record in runs/ is of its network"
    return _by_network(candidate, champion) or _by_images(backend, candidate, champion, faces, gate)


def verdict_on_answers(
    backend: Backend,
    candidate: ModelVersion,
    champion: ModelVersion,
    found: Comparison,
    gate: str,
) -> Verdict:
    """What the gate says of two versions whose networks have been compared, and why."""
    return (
        _by_tags(backend, candidate, champion)
        or _by_network(candidate, champion)
        or _by_answers(candidate, champion, found, gate)
    )


def _called(champion: ModelVersion) -> str:
    return f"version {champion.version} ({description(champion)})"


def tagged(backend: Backend, version: ModelVersion, tag: str) -> list[ModelVersion]:
    """The versions of a registered model that are of this one's network and have this tag.

    Training again gives the same network, as a version of its own.
    """
    return [
        each
        for each in versions_of(backend, version.tags.get(MODEL_MD5, ""))
        if each.name == version.name and tag in each.tags
    ]


def _by_tags(backend: Backend, candidate: ModelVersion, champion: ModelVersion) -> Verdict | None:
    """What the tags decide: one rolled back, or for another purpose, is not promoted."""
    for each in tagged(backend, candidate, ROLLED_BACK):
        which = "it" if same(each, candidate) else f"its network, version {each.version},"
        why = f"{which} was rolled back ({each.tags[ROLLED_BACK]})"
        return False, f"{why}; `promote --force` makes it champion again"
    for key in (ORIGIN, CLASSES, SIZE):
        if champion.tags.get(key, "") != candidate.tags.get(key, ""):
            return False, (
                f"the champion, {_called(champion)}, is for another purpose than this one "
                f"({description(candidate)}): their {key} differ; "
                "keep one beside the other with `-S tracking.model=NAME`"
            )
    return None


def _by_network(candidate: ModelVersion, champion: ModelVersion) -> Verdict | None:
    if champion.tags.get(MODEL_MD5) != candidate.tags.get(MODEL_MD5):
        return None
    return False, f"a tie: {_called(champion)} is the same network"


def _by_images(
    backend: Backend,
    candidate: ModelVersion,
    champion: ModelVersion,
    faces: Path | None,
    gate: str,
) -> Verdict:
    """What both networks' answers to the candidate's validation images decide."""
    name = _called(champion)
    try:
        packed = load_faces(faces, candidate.tags[DATA])
    except TrackingError as error:
        return False, f"there is nothing to compare it with {name} on: {error}"
    ours = measure(backend, candidate, packed)
    try:
        theirs = measure(backend, champion, packed, ours.fit)
    except (TrackingError, WeightsError) as error:
        return False, f"the champion, {name}, cannot be scored on its images: {error}"
    except StaleInputError as error:
        return True, (
            f"the champion, {name}, cannot be scored on its images ({error.where}: {error.what})"
        )
    return _by_answers(candidate, champion, Comparison.of(ours, theirs), gate)


def _by_answers(
    candidate: ModelVersion, champion: ModelVersion, found: Comparison, gate: str
) -> Verdict:
    ahead = THRESHOLD_MD5 in candidate.tags and THRESHOLD_MD5 not in champion.tags
    tie_break = "only this one has a threshold for `unknown`" if ahead else ""
    promoted, reason = found.verdict(_called(champion), gate, tie_break)
    if not promoted and champion.tags.get(DATA) != candidate.tags.get(DATA):
        # Another seed or fraction, or more images, divides them in another way.
        reason += (
            "; the champion was trained on another version of the dataset, and so perhaps on some "
            "of these images, which favours it: `promote --force` overrules that"
        )
    return promoted, reason


def same(one: ModelVersion | None, other: ModelVersion | None) -> bool:
    """Whether two versions of one registered model are the same, or both None."""
    return getattr(one, "version", None) == getattr(other, "version", None)
