"""Which versions were champion before: a tag of the registered model, by which one goes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from src.errors import TrackingError
from src.tracking.champion import ALIAS, ROLLED_BACK, URI, find_version, weights_of
from src.tracking.exclusive import alone
from src.tracking.gate import same, tagged
from src.tracking.store import Backend, reachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

BEFORE = "champions.before"  # tag: the numbers of the replaced champions, the last last
KEPT = 500  # of them


def remember(backend: Backend, champion: ModelVersion) -> None:
    """Note the champion, before another takes its place: a kill in between then loses none."""
    model, number = champion.name, str(champion.version)
    before = _before(backend, model)
    if before[-1:] != [number]:
        _write(backend, model, [*before, number][-KEPT:])


@reachable()
def rollback(backend: Backend, model: str, reason: str) -> tuple[ModelVersion, ModelVersion]:
    """Make the version the champion that was it before; returns it and the one that it replaces.

    The one replaced keeps the reason, and is not promoted again but by hand. One that was rolled
    back itself is passed over. Raises TrackingError if there is none to go back to, or if its files
    are gone.
    """
    find_version(backend, model, ALIAS)
    with alone(backend, model):
        champion = find_version(backend, model, ALIAS)
        before = _before(backend, model)
        while before and not _stands(backend, champion, before[-1]):
            before.pop()
        if not before:
            mend = "promote another with `python -m src.registry promote VERSION`"
            what = "no version was champion before it"
            raise TrackingError(f"{URI}{model}@{ALIAS}", what, mend)
        earlier = find_version(backend, model, before.pop())
        weights_of(backend, earlier)
        client, number = backend.client, str(champion.version)
        client.set_model_version_tag(model, number, ROLLED_BACK, reason)
        client.set_registered_model_alias(model, ALIAS, str(earlier.version))
        _write(backend, model, before)
    return earlier, champion


def _before(backend: Backend, model: str) -> list[str]:
    """The last may be the champion itself, where a process was killed in between."""
    return list(json.loads(backend.client.get_registered_model(model).tags.get(BEFORE, "[]")))


def _write(backend: Backend, model: str, numbers: list[str]) -> None:
    backend.client.set_registered_model_tag(model, BEFORE, json.dumps(numbers))


def _stands(backend: Backend, champion: ModelVersion, number: str) -> bool:
    """Whether one may go back to a version: it is another, is there and was not rolled back."""
    try:
        version = find_version(backend, champion.name, number)
    except TrackingError:
        return False
    return not same(version, champion) and not tagged(backend, version, ROLLED_BACK)
