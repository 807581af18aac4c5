"""The formats that `data.origin` may have; each module of this package holds one family of them.

A new format is a new module and no other edit: a subclass of `OriginFile` for another kind of
origin file, or an entry in `OPENERS` for another kind of archive. `src.closure`, which reads
import statements, does not see modules that are found this way; stages that open an origin
therefore depend on the whole of src/data, and `tests/data/test_origins.py` checks that they
declare whatever else these modules import. No key in .cache depends on them.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from src.config import Data
from src.config.origin_file import read_origin_file
from src.data.entries import Origin
from src.data.origins.base import KINDS, OPENERS
from src.data.origins.folder import open_folder
from src.data.regroup import regroup
from src.errors import OriginError

__all__ = ["KINDS", "OPENERS", "open_origin"]

for module in iter_modules(__path__, f"{__name__}."):
    import_module(module.name)


def open_origin(data: Data) -> Origin:
    """List the images of `data.origin`, grouped into `data.classes` where there are any.

    Raises OriginError, or ConfigError for an origin file that is not valid.
    """
    origin = _open(data.origin, data)
    return regroup(data.origin, origin, data.classes) if data.classes else origin


def _open(where: str, data: Data) -> Origin:
    path = Path(where)
    name = path.name.lower()
    # Unlike Path.exists, this is False for a name that is too long for a file.
    if not os.path.exists(path):  # noqa: PTH110
        raise OriginError(where, "no such file or folder", "set data.origin to one")
    if path.is_dir():
        return open_folder(path, data)
    if name.endswith((".yaml", ".yml")):
        hint = "an origin file for weights belongs in weights.origin"
        return read_origin_file(path, KINDS, hint).open(where, data)
    for suffix, opener in OPENERS.items():
        if name.endswith(suffix):
            return opener(path, data)
    mend = f"give a folder, an origin file (.yaml) or an archive ({', '.join(OPENERS)})"
    raise OriginError(where, "not a known type of file", mend)
