"""One process at a time changes which version of a registered model is the champion.

MLflow sets an alias whatever it was before, so two promotions at once would each replace the
champion that both had seen, and the last would win, not the best. A SQLite store is locked by a
file. A server has no locks, but its tags are written and read one after the other: a process that
wants to go in writes a tag of its own, then reads, and goes in only if it sees no other's. Of two
that were in, the later to write would have seen the other's tag. Of several that wait, the one with
the smallest name stays and the others withdraw, so that one gets in.
"""

from __future__ import annotations

import random
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from src.tracking.store import SQLITE, Backend, locked

PREFIX = "promoting."  # of tags of the registered model
DEAD = 120.0  # seconds for which a waiting process sees another's tag unchanged; inside takes few
POLL = 0.2


@contextmanager
def alone(store: Backend, model: str) -> Iterator[None]:
    """A block in which no other process is, for the registered `model`, which must exist.

    Not to be entered twice, nor inside `locked`. What a killed process leaves is cleared by the
    next that waits for it.
    """
    if store.uri.startswith(SQLITE):
        with locked(store.uri):
            yield
        return
    mine = f"{PREFIX}{uuid.uuid4().hex}"
    try:
        _enter(store, model, mine)
        yield
    finally:
        store.client.delete_registered_model_tag(model, mine)


def _enter(store: Backend, model: str, mine: str) -> None:
    watch = _Watch(store, model, mine)
    while True:
        store.client.set_registered_model_tag(model, mine, uuid.uuid4().hex)  # a sign of life
        if not (others := watch.others()):
            return
        if mine > min(others):
            store.client.delete_registered_model_tag(model, mine)
            while watch.others():
                _wait()
        _wait()


def _wait() -> None:
    time.sleep(POLL * random.uniform(0.5, 1.5))  # noqa: S311 -- apart from one another


class _Watch:
    """The other processes' tags, and for how long each has been as it is."""

    def __init__(self, store: Backend, model: str, mine: str) -> None:
        self.store, self.model, self.mine = store, model, mine
        self.began, self.told = time.monotonic(), False
        self.since: dict[tuple[str, str], float] = {}

    def others(self) -> list[str]:
        """The names of the tags; those of dead processes are removed for the next look."""
        tags, now = self.store.client.get_registered_model(self.model).tags, time.monotonic()
        found = [each for each in tags.items() if each[0].startswith(PREFIX)]
        self.since = {each: self.since.get(each, now) for each in found if each[0] != self.mine}
        for (name, _), first in self.since.items():
            if now - first > DEAD:
                self.store.client.delete_registered_model_tag(self.model, name)
        if self.since and not self.told and now - self.began > 10 * POLL:
            print(f"{self.model}: waiting for another promotion to end", file=sys.stderr)
            self.told = True
        return [name for name, _ in self.since]
