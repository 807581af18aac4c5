"""Whether the process that runs an MLflow run is alive, so that none stays RUNNING for ever.

A process that tracks a run holds a lock on a file in the project's scratch folder, and the run's
tags name the file. The kernel frees the lock when the process dies, however that happens, and on
whatever host it believes itself to be: containers have host names and process ids of their own, but
share the folder. A file that is here and is not locked thus belongs to a dead process. Where the
file is not here, the run is another copy's of the project, perhaps on another machine that shares
the tracking server: it is left alone, unless the run itself names this host and a process that
has ended.
"""

from __future__ import annotations

import re
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from src.paths import SCRATCH
from src.tracking.children import kill, kill_children
from src.tracking.provenance import HOST, PROCESS
from src.tracking.store import Store, project_root

LOCK = "process.lock"  # tag: the name of the file


def _folder() -> Path:
    return project_root() / SCRATCH / "running"


@contextmanager
def living() -> Iterator[dict[str, str]]:
    """Tags for runs that are open only inside the block; none where no file can be locked."""
    lock = _lock_of_this_process()
    try:
        yield {LOCK: Path(lock.lock_file).name} if lock else {}
    finally:
        if lock:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def _lock_of_this_process() -> FileLock | None:
    lock = FileLock(_folder() / uuid.uuid4().hex)
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except (OSError, NotImplementedError):  # a folder that is only read, or has no locks
        return None
    return lock


def close_orphans(store: Store) -> None:
    """Set runs to KILLED whose process died without ending them.

    Children that had ended before follow them, since the next run has its own.
    """
    running = "attributes.status = 'RUNNING'"
    left: set[Path] = set()
    for run in store.client.search_runs([store.experiment_id], running):
        if is_orphan(run.data.tags):
            kill_children(store, run)
            kill(store, run)
            left |= {path for path in [_file(run.data.tags)] if path}
    for path in left:  # only now, as the runs of several seeds share one
        path.unlink(missing_ok=True)


def is_orphan(tags: Mapping[str, str]) -> bool:
    """Whether the process of the run with these tags is known to have ended."""
    import psutil

    path = _file(tags)
    if path and path.is_file():
        return not _locked(path)
    if tags.get(HOST) != socket.gethostname() or PROCESS not in tags:
        return False
    number, started = tags[PROCESS].split("@")
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def _file(tags: Mapping[str, str]) -> Path | None:
    name = tags.get(LOCK, "")
    return _folder() / name if re.fullmatch("[0-9a-f]{32}", name) else None


def _locked(path: Path) -> bool:
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        return True
    lock.release()
    return False
