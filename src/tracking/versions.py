"""The versions of a registered model, as `python -m src.registry list` shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from src.errors import TrackingError
from src.tracking.champion import ACCURACY, DATA, LICENCE, NAME, ORIGIN, REASON, ROLLED_BACK
from src.tracking.registry import PROMOTED
from src.tracking.store import Backend, reachable


@dataclass(frozen=True)
class Row:
    """A version; times are ISO 8601 in UTC, and what its tags do not say is None.

    val_accuracy: of the experiment, the mean over its seeds, on the dataset with the md5 `dataset`
    that was made from `origin`. licence: of the source weights. reason: of its last promotion, or
    why it was not promoted. rolled_back: why, if it was.
    """

    version: int
    aliases: tuple[str, ...]
    experiment: str | None
    val_accuracy: float | None
    origin: str | None
    dataset: str | None
    licence: str | None
    reason: str | None
    rolled_back: str | None
    registered: str
    promoted: str | None


@reachable()
def rows_of(backend: Backend, model: str) -> tuple[Row, ...]:
    """All versions of a registered model, the newest first; raises TrackingError without any."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = backend.client.get_registered_model(model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        mend = (
            "run `dvc repro` and `python -m src.tracking reconcile`, or name another with --model"
        )
        raise TrackingError(f"models:/{model}", "no such registered model", mend) from None
    rows, token = [], None
    while True:
        page = backend.client.search_model_versions(f"name = '{model}'", page_token=token)
        for found in page:
            number, tags = int(found.version), found.tags
            accuracy = tags.get(ACCURACY)
            rows.append(
                Row(
                    number,
                    tuple(sorted(each for each, of in aliases.items() if int(of) == number)),
                    tags.get(NAME),
                    None if accuracy is None else float(accuracy),
                    tags.get(ORIGIN) or None,
                    tags.get(DATA) or None,
                    tags.get(LICENCE),
                    tags.get(REASON),
                    tags.get(ROLLED_BACK),
                    _iso(found.creation_timestamp),
                    tags.get(PROMOTED),
                )
            )
        if not (token := page.token):
            return tuple(sorted(rows, key=lambda row: -row.version))


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
