"""Sending a run to the store while it can be reached; a run outlives its store.

Training must not fail because a server does. What could not be sent is in the run's record, from
which `python -m src.tracking reconcile` makes the run again; trials of a search are in Optuna's
storage, and folds in the scratch folder, from which their own commands send them.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from src.errors import redacted
from src.tracking.store import Store, is_ours

T = TypeVar("T")


@dataclass
class Delivery:
    """`store` is None where nothing is sent: from the start, or once a call has failed."""

    store: Store | None
    resend: str = "python -m src.tracking reconcile"  # the command that sends it later

    def send(self, call: Callable[[Store], T]) -> T | None:
        """What `call` returns; None if it was not made or did not get through."""
        if self.store is None:
            return None
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return call(self.store)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if is_ours(error):
                raise
            self._give_up(self.store.uri, error)
            return None

    def start(self, call: Callable[[Store], str]) -> str:
        """The id of the run that `call` starts, or one that no store has."""
        return self.send(call) or uuid.uuid4().hex

    def _give_up(self, uri: str, error: Exception) -> None:
        self.store = None
        warn(uri, str(error), self.resend)


def warn(uri: str, reason: str, resend: str) -> None:
    """Say that the store at `uri` is lost, why, and which command sends the results later."""
    reason = " ".join(reason.split())[:200]
    what = f"warning: {uri}: the MLflow store is lost ({reason}); the run goes on without it"
    print(redacted(f"{what}; send it later with `{resend}`"), file=sys.stderr)
