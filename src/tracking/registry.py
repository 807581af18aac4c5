"""Which version of a registered model is the champion: promotion by a gate or by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import StaleInputError, TrackingError
from src.tracking.attached import attach
from src.tracking.champion import (
    ALIAS,
    CHALLENGER,
    CLASSES,
    DATA,
    MODEL_MD5,
    ORIGIN,
    REASON,
    ROLLED_BACK,
    SIZE,
    THRESHOLD_MD5,
    description,
    find_champion,
    own_record,
    version_uri,
    versions_of,
    weights_of,
)
from src.tracking.comparison import HIGHER, Comparison, load_faces, measure
from src.tracking.exclusive import alone
from src.tracking.history import remember
from src.tracking.model import has_files
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.store import Backend, open_store, reachable
from src.tracking.version import ensure_registered_model, register

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PROMOTED = "promoted"  # tag of a version: when it last became the champion
Verdict = tuple[bool, str]


@dataclass(frozen=True)
class Promotion:
    """Whether a version of the registered model became the champion, and the reason."""

    model: str
    version: int
    promoted: bool
    reason: str

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        verdict = "is now the champion" if self.promoted else "is not promoted"
        return f"{self.model} version {self.version} {verdict}: {self.reason}"


@reachable()
def promote(
    path: Path,
    val_accuracy: float,
    model: str,
    threshold: Path | None = None,
    gate: str = HIGHER,
) -> Promotion:
    """Register the model of the run in the record `path`; make it the champion if it is better.

    Better is what `src.tracking.comparison` says, of both networks on the candidate's validation
    images; until then the version is the challenger. A champion of another version of the dataset
    is replaced if it was trained for other subjects. Nearly all images keep their split from
    version to version (`src.data.split`), so it has seen few of them in training. A champion of
    another origin, other classes or another image size serves another purpose and stays, as does
    one of the same network. A version that was rolled back is promoted only by hand.

    The run is rebuilt first if it is missing, and lost files of the champion are brought back from
    its own record beside `path`. Where that record is of another network by now, nothing can bring
    them back, and the champion gives way. The version gets the `threshold`, of which
    `src.tracking.attached` tells more. Raises TrackingError, StaleInputError.
    """
    run_id, record = ensure_run(path), RunRecord.read(path)
    store = open_store(record.experiment)
    _restore_champion(store, model, path.parent)
    ensure_registered_model(store, model)
    with alone(store, model):
        version = register(store, run_id, record, val_accuracy, model)
        if threshold:
            version = attach(store, version, threshold)
        _challenge(store, version)
    faces = path.parent / record.dataset.path if record.dataset else None
    return _decide(
        store,
        version,
        lambda champion: _verdict(store, version, champion, faces, path.parent, gate),
    )


@reachable()
def promote_version(
    backend: Backend, version: ModelVersion, faces: Path, runs: Path, gate: str
) -> Promotion:
    """The same for a version that is registered, with its packed dataset and the records' folder.

    Raises TrackingError, StaleInputError.
    """
    if missing := {ORIGIN, CLASSES, SIZE, DATA, MODEL_MD5} - version.tags.keys():
        what = f"the gate cannot judge it: it has no tag {', '.join(sorted(missing))}"
        mend = "register it with `dvc repro register`, or give --force and --reason"
        raise TrackingError(version_uri(version), what, mend)
    _restore_champion(backend, version.name, runs)
    with alone(backend, version.name):
        _challenge(backend, version)
    return _decide(
        backend, version, lambda champion: _verdict(backend, version, champion, faces, runs, gate)
    )


@reachable()
def promote_by_hand(backend: Backend, version: ModelVersion, reason: str) -> Promotion:
    """Make a version the champion whatever the gate says; raises TrackingError if it has no files.

    It may be promoted by the gate again if it was rolled back.
    """
    weights_of(backend, version)

    def allow(_: ModelVersion | None) -> Verdict:
        return True, f"by hand: {reason}"

    made = _decide(backend, version, allow)
    for each in _rolled_back(backend, version):
        backend.client.delete_model_version_tag(each.name, str(each.version), ROLLED_BACK)
    return made


def _decide(
    backend: Backend, version: ModelVersion, judge: Callable[[ModelVersion | None], Verdict]
) -> Promotion:
    """Do what `judge` says of the champion, which is the same before and after it has judged.

    It takes its time, in which other processes may change the champion: then it judges again.
    """
    model, number = version.name, str(version.version)
    while True:
        champion = find_champion(backend, model)
        if champion is not None and str(champion.version) == number:
            return Promotion(model, int(number), False, "it already is the champion")
        promoted, reason = judge(champion)
        with alone(backend, model):
            if not _same(champion, find_champion(backend, model)):
                continue
            backend.client.set_model_version_tag(model, number, REASON, reason)
            if promoted:
                _crown(backend, model, number, champion)
        return Promotion(model, int(number), promoted, reason)


def _same(one: ModelVersion | None, other: ModelVersion | None) -> bool:
    return getattr(one, "version", None) == getattr(other, "version", None)


def _crown(backend: Backend, model: str, number: str, champion: ModelVersion | None) -> None:
    """Set the alias."""
    client = backend.client
    if champion is not None:
        remember(backend, champion)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(model, number, PROMOTED, when)
    client.set_registered_model_alias(model, ALIAS, number)
    if str(client.get_registered_model(model).aliases.get(CHALLENGER)) == number:
        client.delete_registered_model_alias(model, CHALLENGER)


def _challenge(backend: Backend, version: ModelVersion) -> None:
    """Make a version that is not the champion the challenger."""
    champion = find_champion(backend, version.name)
    if not _same(champion, version):
        number = str(version.version)
        backend.client.set_registered_model_alias(version.name, CHALLENGER, number)


def _restore_champion(store: Backend, model: str, runs: Path) -> None:
    """Bring lost files of the champion back, if the folder `runs` has its record and they exist."""
    champion = find_champion(store, model)
    if champion is not None and _is_lost(store, champion) and (own := own_record(champion, runs)):
        with suppress(TrackingError):  # its model file is missing, too
            ensure_run(own)


def _is_lost(backend: Backend, version: ModelVersion) -> bool:
    return not has_files(backend, version.source, version.tags.get(MODEL_MD5, ""))


def _verdict(
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
    if _is_lost(backend, champion) and not own_record(champion, runs):
        lost = f"the files of {_called(champion)} are lost"
        return True, f"{lost}, and no record in runs/ is of its network"
    return _by_network(candidate, champion) or _by_images(backend, candidate, champion, faces, gate)


def verdict(
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


def _rolled_back(backend: Backend, version: ModelVersion) -> list[ModelVersion]:
    """The versions of a registered model that are of this one's network and were rolled back.

    Training again gives the same network, as a version of its own.
    """
    return [
        each
        for each in versions_of(backend, version.tags.get(MODEL_MD5, ""))
        if each.name == version.name and ROLLED_BACK in each.tags
    ]


def _by_tags(backend: Backend, candidate: ModelVersion, champion: ModelVersion) -> Verdict | None:
    """What the tags decide: one rolled back, or for another purpose, is not promoted."""
    for each in _rolled_back(backend, candidate):
        which = "it" if _same(each, candidate) else f"its network, version {each.version},"
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
        theirs = measure(backend, champion, packed)
    except TrackingError as error:
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
    return found.verdict(_called(champion), gate, tie_break)
