"""Finished runs of a stage that was killed before DVC had saved what it made.

DVC then runs the stage again, and MLflow would have two finished runs of one training. So a run
that ends leaves a note in the scratch folder, which tells the next to end whose outputs are gone.
Where the store is lost, that one is not sent, and leaves the note for the next after it. The note
comes before the record: a run that has one may be set to FINISHED by `reconcile`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from src import paths
from src.files import write_json
from src.tracking.children import kill, kill_children
from src.tracking.record import RunRecord
from src.tracking.store import Store, find_run
from src.training.scratch import optional_write


def note_finished(path: Path, record: RunRecord) -> None:
    """Keep the id of a run that is about to end, and the md5 of its record, due in `path`.

    Where the scratch folder cannot be written, only a warning.
    """
    md5, note = hashlib.md5(record.text.encode(), usedforsecurity=False).hexdigest(), _note(path)
    with optional_write(note):
        write_json(note, {"run_id": record.run_id, "md5": md5})


def close_unsaved(store: Store, record: Path) -> None:
    """Set the run that the last training noted to KILLED if its record was lost with the stage.

    Before a stage runs, DVC deletes its outputs, but keeps those in its cache that it has saved.
    """
    note = _note(record)
    try:
        noted = json.loads(note.read_bytes())
        run_id, md5 = str(noted["run_id"]), str(noted["md5"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not record.is_file() and not _saved(md5):
        run = find_run(store, run_id)  # another store may have it, or none
        if run and run.info.lifecycle_stage == "active":
            kill_children(store, run)
            kill(store, run)
    with optional_write(note):
        note.unlink(missing_ok=True)


def _note(record: Path) -> Path:
    return paths.SCRATCH / "finished" / record.name


def _saved(md5: str) -> bool:
    """Whether DVC's cache holds a file; True where there is no DVC to ask."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    cached = Path(done.stdout.strip(), "files", "md5", md5[:2], md5[2:])
    return done.returncode != 0 or cached.is_file()
