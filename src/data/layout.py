"""Which subject and split each path of an archive or folder belongs to.

There are two layouts: `train/SUBJECT/FILE` with `test/SUBJECT/FILE` (or `facescrub_train` and
`facescrub_test`), and `SUBJECT/FILE` without a split. Either may lie below folders that hold
nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from src.data.entries import Entry
from src.data.faceset import Split
from src.errors import OriginError, printable

Parts = tuple[str, ...]

SPLITS = {
    "facescrub_train": Split.train,
    "train": Split.train,
    "facescrub_test": Split.test,
    "test": Split.test,
}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".pnm", ".bmp", ".webp"}
CLUTTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}
MEND = "lay it out as train/SUBJECT/FILE and test/SUBJECT/FILE, or as SUBJECT/FILE"


@dataclass(frozen=True)
class Layout:
    """entries: by the path in the listing. empty: folders of subjects that hold no file."""

    entries: Mapping[str, Entry]
    empty: tuple[str, ...]


def safe_parts(where: str, name: str) -> Parts:
    """The parts of a path within the origin `where`, as they are shown and compared.

    Control characters and what is not UTF-8 are escaped. Accents, which systems store in two ways,
    are in one. Raises OriginError if the path leads outside.
    """
    plain = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = tuple(printable(part) for part in plain.split("/") if part not in ("", "."))
    if plain.startswith("/") or re.match("[A-Za-z]:/", plain) or ".." in parts:
        raise OriginError(
            f"{where}: {plain}", "a path that leads outside", "pack it again with relative paths"
        )
    return parts


def read_layout(where: str, files: Collection[str], folders: Collection[str] = ()) -> Layout:
    """Assign `files` of the origin `where` to subjects and splits; `folders` may be empty ones.

    Hidden files and those that operating systems leave behind are ignored. Raises OriginError
    where a path leads outside, is that of two files, or of an image that belongs to no subject.
    """
    paths = _visible(where, files, once=True)
    tree = {parts[:end] for parts in paths.values() for end in range(1, len(parts))}
    tree.update(_visible(where, folders, once=False).values())
    root = _root(tree)
    splits = _splits(where, tree, root)
    depth = len(root) + (2 if splits else 1)  # of a subject's folder
    entries = {}
    for name, parts in paths.items():
        file = "/".join(parts)
        if len(parts) == depth + 1 and parts[: len(root)] == root:
            split = splits[parts[depth - 2]] if splits else None
            entries[name] = Entry(file, parts[depth - 1], split)
        elif PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES:
            raise OriginError(f"{where}: {file}", "an image outside of any subject's folder", MEND)
    if not entries:
        raise OriginError(where, "holds no images of subjects", MEND)
    subjects = {parts for parts in tree if len(parts) == depth and parts[: len(root)] == root}
    empty = subjects - {paths[name][:depth] for name in entries}
    return Layout(entries, tuple(sorted("/".join(parts) for parts in empty)))


def _visible(where: str, names: Collection[str], *, once: bool) -> dict[str, Parts]:
    """The parts of the names that are not ignored; each may occur only `once`."""
    paths: dict[str, Parts] = {}
    seen: set[Parts] = set()
    for name in names:
        parts = safe_parts(where, name)
        if not parts or any(part.startswith(".") or part in CLUTTER for part in parts):
            continue
        if once and parts in seen:
            raise OriginError(f"{where}: {name}", "occurs twice", "keep one of the two")
        seen.add(parts)
        paths[name] = parts
    return paths


def _children(tree: Collection[Parts], folder: Parts) -> set[str]:
    end = len(folder)
    return {parts[end] for parts in tree if len(parts) > end and parts[:end] == folder}


def _root(tree: Collection[Parts]) -> Parts:
    root: Parts = ()
    while len(children := _children(tree, root)) == 1:
        (child,) = children
        if child.lower() in SPLITS or not _children(tree, (*root, child)):
            break
        root = (*root, child)
    return root


def _splits(where: str, tree: Collection[Parts], root: Parts) -> dict[str, Split | None]:
    """The split of each folder of `root`; empty where its folders are subjects."""
    children = sorted(_children(tree, root))
    found: dict[str, Split | None] = {
        child: SPLITS[child.lower()] for child in children if child.lower() in SPLITS
    }
    if not found:
        return {}
    if len(found) < len(children):
        stray = next(child for child in children if child not in found)
        raise OriginError(
            f"{where}: {'/'.join((*root, stray))}", "a folder that is neither train nor test", MEND
        )
    if Split.train not in found.values():
        raise OriginError(where, "has a test folder but no train folder", MEND)
    if Split.test not in found.values():
        return dict.fromkeys(found)
    return found
