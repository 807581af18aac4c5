"""From `data.origin` to its pictures: a recipe, an archive or a folder."""

from __future__ import annotations

from pathlib import Path

from src.config import Data
from src.data.archive import SUFFIXES, open_archive
from src.data.entries import Origin
from src.data.folder import open_folder
from src.data.recipe import open_recipe
from src.data.regroup import regrouped
from src.errors import OriginError


def open_origin(data: Data) -> Origin:
    """List the pictures of `data.origin`, under `data.classes` where there are any.

    Raises OriginError, or ConfigError for a bad recipe.
    """
    origin = _opened(data)
    return regrouped(data.origin, origin, data.classes) if data.classes else origin


def _opened(data: Data) -> Origin:
    path = Path(data.origin)
    name = path.name.lower()
    if not path.exists():
        raise OriginError(data.origin, "no such file or folder", "set data.origin to one")
    if path.is_dir():
        return open_folder(path)
    if name.endswith((".yaml", ".yml")):
        return open_recipe(path, data.image_size)
    if name.endswith(SUFFIXES):
        return open_archive(path)
    kinds = ", ".join(SUFFIXES)
    raise OriginError(data.origin, "of no known kind", f"give a folder, a .yaml recipe or {kinds}")
