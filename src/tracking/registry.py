"""Which version of a registered model is the champion: promotion by a gate or by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import TrackingError
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
    find_champion,
    own_record,
    version_uri,
    weights_of,
)
from src.tracking.comparison import HIGHER
from src.tracking.exclusive import alone
from src.tracking.gate import Verdict, is_lost, same, tagged, verdict
from src.tracking.history import remember
from src.tracking.reconcile import ensure_run
from src.tracking.record import RunRecord
from src.tracking.store import Backend, open_store, reachable
from src.tracking.version import ensure_registered_model, register

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PROMOTED = "promoted"  # tag of a version: when it last became the champion


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
    again: bool = True,
) -> Promotion:
    """Register the model of the run in the record `path`; make it the champion if it is better.

    Better is what `src.tracking.comparison` says, of both networks on the candidate's validation
    images; until then the version is the challenger. A champion of another version of the dataset
    is replaced if it was trained for other subjects. Nearly all images keep their split from
    version to version (`src.data.split`), so it has seen few of them in training. A champion of
    another origin, other classes or another image size serves another purpose and stays, as do
    one that wants photos made square in another way and one of the same network. A version that was
    rolled back is promoted only by hand.

    The run is rebuilt first if it is missing, and lost files of the champion are brought back from
    its own record beside `path`. Where that record is of another network by now, nothing can bring
    them back, and the champion gives way. The version gets the `threshold`, of which
    `src.tracking.attached` tells more, as does a champion of the same network.

    Unless `again`, a network that was judged before is not judged again while there is a champion:
    the files may be those of an old commit, and what was decided since holds. Raises TrackingError,
    StaleInputError.
    """
    run_id, record = ensure_run(path), RunRecord.read(path)
    store = open_store(record.experiment)
    _restore_champion(store, model, path.parent)
    ensure_registered_model(store, model)
    with alone(store, model):
        version = register(store, run_id, record, val_accuracy, model)
        if threshold:
            version = _attach(store, version, threshold)
        if not again and (settled := _settled(store, version)):
            return settled
        _challenge(store, version)
    faces = path.parent / record.dataset.path if record.dataset else None
    return _decide(
        store,
        version,
        lambda champion: verdict(store, version, champion, faces, path.parent, gate),
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
        mend = (
            "register it anew with `dvc repro --force --single-item register`, "
            "or give --force and --reason"
        )
        raise TrackingError(version_uri(version), what, mend)
    _restore_champion(backend, version.name, runs)
    with alone(backend, version.name):
        _challenge(backend, version)
    return _decide(
        backend, version, lambda champion: verdict(backend, version, champion, faces, runs, gate)
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
    for each in tagged(backend, version, ROLLED_BACK):
        backend.client.delete_model_version_tag(each.name, str(each.version), ROLLED_BACK)
    return made


def _settled(backend: Backend, version: ModelVersion) -> Promotion | None:
    """What was decided before of the network of a version; None where it has to be judged."""
    champion = find_champion(backend, version.name)
    if champion is None or not tagged(backend, version, REASON):
        return None
    if same(champion, version):
        return _already(version)
    reason = "its network was judged before; `python -m src.registry list` shows how"
    return Promotion(version.name, int(version.version), False, reason)


def _already(version: ModelVersion) -> Promotion:
    return Promotion(version.name, int(version.version), False, "it already is the champion")


def _decide(
    backend: Backend, version: ModelVersion, judge: Callable[[ModelVersion | None], Verdict]
) -> Promotion:
    """Do what `judge` says of the champion, which is the same before and after it has judged.

    It takes its time, in which other processes may change the champion: then it judges again.
    """
    model, number = version.name, str(version.version)
    while True:
        champion = find_champion(backend, model)
        if champion is not None and same(champion, version):
            return _already(version)
        promoted, reason = judge(champion)
        with alone(backend, model):
            if not same(champion, find_champion(backend, model)):
                continue
            backend.client.set_model_version_tag(model, number, REASON, reason)
            if promoted:
                _crown(backend, model, number, champion)
        return Promotion(model, int(number), promoted, reason)


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


def _attach(store: Backend, version: ModelVersion, threshold: Path) -> ModelVersion:
    """Attach it to the version, and to a champion of the same network, which stays in use."""
    version = attach(store, version, threshold)
    champion = find_champion(store, version.name)
    if champion is not None and champion.tags.get(MODEL_MD5) == version.tags.get(MODEL_MD5):
        attach(store, champion, threshold)
    return version


def _challenge(backend: Backend, version: ModelVersion) -> None:
    """Make a version that is not the champion the challenger."""
    champion = find_champion(backend, version.name)
    if not same(champion, version):
        number = str(version.version)
        backend.client.set_registered_model_alias(version.name, CHALLENGER, number)


def _restore_champion(store: Backend, model: str, runs: Path) -> None:
    """Bring lost files of the champion back, if the folder `runs` has its record and they exist."""
    champion = find_champion(store, model)
    if champion is not None and is_lost(store, champion) and (own := own_record(champion, runs)):
        with suppress(TrackingError):  # its model file is missing, too
            ensure_run(own)
