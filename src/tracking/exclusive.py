"""One process at a time changes which version is the champion, or makes a run.

MLflow sets an alias whatever it was before, so two promotions at once would each replace the
champion that both had seen, and the last would win, not the best; and two clones would both make a
run that neither has found. A SQLite store is locked by a file. A server has no locks, but its
tags are written and read one after the other: a process that wants to go in writes a tag of its
own, then reads, and goes in only if it sees no other's. Of two that were in, the later to write
would have seen the other's tag. Of several that wait, the one with the smallest name stays and the
others withdraw, so that one gets in.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from src.tracking.store import SQLITE, Backend, Store, locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "promoting."  # of tags of the registered model
MAKING = "making"  # the same of the experiment, before what the run is known by
DEAD = 120.0  # seconds for which a waiting process sees another's tag unchanged
ALIVE = DEAD / 4  # seconds between two signs of life of a process that is inside
POLL = 0.2


@dataclass(frozen=True)
class _Tags:
    """The tags in which processes see each other, and what to say when one waits."""

    prefix: str
    waiting: str
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], None]
    delete: Callable[[str], None]


@contextmanager
def alone(store: Backend, model: str) -> Iterator[None]:
    """A block in which no other process is, for the registered `model`, which must exist.

    Not to be entered twice, nor inside `locked`. What a killed process leaves is cleared by the
    next that waits for it.
    """
    client = store.client
    tags = _Tags(
        PREFIX,
        f"{model}: waiting for another promotion to end",
        lambda: client.get_registered_model(model).tags,
        partial(client.set_registered_model_tag, model),
        partial(client.delete_registered_model_tag, model),
    )
    with _alone(store, tags):
        yield


@contextmanager
def alone_making(store: Store, run: str) -> Iterator[None]:
    """The same for a run of the store's experiment that is known by `run`, an id."""
    client, experiment = store.client, store.experiment_id
    tags = _Tags(
        f"{MAKING}.{run}.",
        f"run {run}: waiting for another process to make it",
        lambda: client.get_experiment(experiment).tags,
        partial(client.set_experiment_tag, experiment),
        partial(_delete_experiment_tag, client, experiment),
    )
    with _alone(store, tags):
        yield


def _delete_experiment_tag(client: MlflowClient, experiment: str, key: str) -> None:
    """Delete a tag that another process may have deleted, which MLflow minds here alone."""
    from mlflow.exceptions import MlflowException

    try:
        client.delete_experiment_tag(experiment, key)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


@contextmanager
def _alone(store: Backend, tags: _Tags) -> Iterator[None]:
    if store.uri.startswith(SQLITE):
        with locked(store.uri):
            yield
        return
    mine = f"{tags.prefix}{uuid.uuid4().hex}"
    try:
        _enter(tags, mine)
        with _signs_of_life(tags, mine):
            yield
    finally:
        tags.delete(mine)


@contextmanager
def _signs_of_life(tags: _Tags, mine: str) -> Iterator[None]:
    """A block in which a thread renews a tag; to upload a big model may take minutes."""
    from mlflow.exceptions import MlflowException

    left = threading.Event()

    def renew() -> None:
        while not left.wait(ALIVE):
            with suppress(MlflowException):  # the block itself will meet a lost server
                tags.write(mine, uuid.uuid4().hex)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def _enter(tags: _Tags, mine: str) -> None:
    watch = _Watch(tags, mine)
    while True:
        tags.write(mine, uuid.uuid4().hex)  # a sign of life
        if not (others := watch.others()):
            return
        if mine > min(others):
            tags.delete(mine)
            while watch.others():
                _wait()
        _wait()


def _wait() -> None:
    time.sleep(POLL * random.uniform(0.5, 1.5))  # noqa: S311 -- apart from one another


class _Watch:
    """The other processes' tags, and for how long each has been as it is."""

    def __init__(self, tags: _Tags, mine: str) -> None:
        self.tags, self.mine = tags, mine
        self.began, self.told = time.monotonic(), False
        self.since: dict[tuple[str, str], float] = {}

    def others(self) -> list[str]:
        """The names of the tags; those of dead processes are removed for the next look."""
        now = time.monotonic()
        found = [each for each in self.tags.read().items() if each[0].startswith(self.tags.prefix)]
        self.since = {each: self.since.get(each, now) for each in found if each[0] != self.mine}
        for (name, _), first in self.since.items():
            if now - first > DEAD:
                self.tags.delete(name)
        if self.since and not self.told and now - self.began > 10 * POLL:
            print(self.tags.waiting, file=sys.stderr)
            self.told = True
        return [name for name, _ in self.since]
