"""Whether the packed images are those of the origin that params.yaml names.

Their file does not say, and decisions about images name the origin: after an edit of `data.origin`
without `dvc repro`, they would be about images of the same name elsewhere.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from src import paths
from src.errors import StaleInputError

LOCK = "dvc.lock"


def check_origin(project: Path, origin: str, faces_md5: str) -> None:
    """Raise StaleInputError if DVC packed the faces of this md5 from another origin.

    What DVC does not know of, because they were packed without it, is taken for right.
    """
    known = _packed_from(project / LOCK, faces_md5)
    if known not in (None, origin):
        what = f"packed from {known}, but data.origin is {origin}"
        raise StaleInputError(str(paths.FACES), what, "run `dvc repro dataset`")


def _packed_from(lock: Path, faces_md5: str) -> str | None:
    import yaml  # with libyaml: the reader of params.yaml takes a second for a long lock

    try:
        stage = yaml.load(lock.read_bytes(), Loader=yaml.CSafeLoader)["stages"]["dataset"]
        md5s = {out["path"]: out.get("md5") for out in stage["outs"]}
        origin = stage["params"]["params.yaml"]["data"]["origin"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    return posixpath.normpath(origin) if md5s.get(paths.FACES.as_posix()) == faces_md5 else None
