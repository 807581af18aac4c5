"""Writing files atomically, so that an interrupted run leaves none half-written; their digests.

What is being written lies in the project's scratch folder, where neither git nor DVC looks: beside
an output, what a killed process leaves behind would be taken for part of it.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import IO, Any

from src.errors import OutputError, StaleInputError
from src.paths import SCRATCH

MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room on that disk"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make that folder writable"),
    errno.ENAMETOOLONG: "give it a shorter name",
}
Written = list[tuple[Path, Path]]  # temporary paths, and those that they shall replace
_waiting: ContextVar[Written | None] = ContextVar("waiting", default=None)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path; it replaces `path` only if the block succeeds.

    Raises OutputError where the disk is full or cannot be written to, or `path` cannot be a file.
    """
    waiting, temporary = _waiting.get(), None
    check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _writable(path.parent):  # else only the replacement would find out
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        temporary = _temporary(path)
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        if waiting is None:
            _replace(temporary, path)
        else:
            waiting.append((temporary, path))
            temporary = None
    except Exception as error:
        if refused := refusal(error, path):
            raise refused from None
        raise
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Raise OutputError where `path` is a folder, or lies in what is a file.

    For commands that would otherwise find out only after their work.
    """
    # Unlike those of Path, these are False for what may not be looked at.
    isdir, there = os.path.isdir, os.path.lexists
    if isdir(path):
        raise OutputError(str(path), "is a folder", "name a file")
    if not isdir(folder := next(each for each in path.absolute().parents if there(each))):
        raise OutputError(str(path), f"{folder} is no folder", "name another")


@contextmanager
def all_or_none() -> Iterator[None]:
    """Files written in the block replace earlier ones at its end; none does if it fails."""
    written: Written = []
    before = _waiting.set(written)
    try:
        yield
        for temporary, path in written:
            try:
                _replace(temporary, path)
            except OSError as error:
                raise refusal(error, path) or error from None
    finally:
        _waiting.reset(before)
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)


def unnamed(buffering: int = -1) -> IO[bytes]:
    """A file of no name in the project's scratch folder, gone with its process or when closed.

    For more than memory holds: the system's folder for temporary files may itself be in memory.
    buffering: as for `open`; without any, 0, it is a RawIOBase.
    """
    folder = _scratch()
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, buffering=buffering)


@contextmanager
def filling(name: str) -> Iterator[None]:
    """Raise OutputError if the disk refuses a write to a file of `unnamed`, called `name` in it.

    The error of such a write names neither the file nor the disk.
    """
    try:
        yield
    except OSError as error:
        raise refusal(error, _scratch() / name) or error from None


def _scratch() -> Path:
    """Where files of no name are: in the project, or outside of one where the system has them."""
    project = _project(Path.cwd())
    return project / SCRATCH / "tmp" if project else Path(tempfile.gettempdir())


def _temporary(path: Path) -> Path:
    """An empty file in the scratch folder of the project that `path` is in.

    In `.cache` itself where its `tmp` is on another file system, and beside `path` where that is,
    too, or outside of a project. In the project's, the name says whose it is, for `sweep`.
    """
    owner = f"{os.getpid()}{_host()}"
    beside = path.parent.resolve()
    project = _project(beside)
    for scratch in _scratches(project) if project else ():
        with suppress(OSError):  # a scratch folder that cannot be written to costs no output
            scratch.mkdir(parents=True, exist_ok=True)
            if scratch.stat().st_dev == beside.stat().st_dev:
                return _empty(scratch, owner, path.suffix)
    return _empty(beside, f".{path.name}.", path.suffix)


def _scratches(project: Path) -> tuple[Path, Path]:
    """Where its unfinished files are; the first may be a link to another disk."""
    return project / SCRATCH / "tmp", project / SCRATCH


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _empty(folder: Path, prefix: str, suffix: str) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
    os.close(handle)
    return Path(name)


def _project(folder: Path) -> Path | None:
    """The nearest folder of a params.yaml, from `folder` upwards."""
    # Unlike Path.is_file, this is False for what may not be looked at.
    there = (f for f in (folder, *folder.parents) if os.path.isfile(f / "params.yaml"))  # noqa: PTH113
    return next(there, None)


def _replace(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Another mount of the same file system, as containers have.
        beside = _empty(path.parent, f".{path.name}.", path.suffix)
        try:
            shutil.copy(temporary, beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)


def sweep() -> None:
    """Delete what processes of this machine were writing when they were killed."""
    project = _project(Path.cwd())
    if project is None:
        return
    host = _host()
    for path in chain.from_iterable(folder.glob("*@*") for folder in _scratches(project)):
        process, _, _ = path.name.partition("@")
        if path.name.startswith(process + host) and process.isdigit() and not _alive(int(process)):
            with suppress(OSError):  # another user's, or a disk that is only read
                path.unlink(missing_ok=True)


def _host() -> str:
    """What follows a process's number in the names of its files: where that number is its own.

    Containers may share the host's name and the folder, and yet count their processes anew.
    """
    namespace = ""
    with suppress(OSError):  # systems without any
        namespace = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    return f"@{socket.gethostname()}-{namespace}."


def _alive(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))


def refusal(error: Exception, path: Path | None = None) -> OutputError | None:
    """`error` as one that names the folder and what is free; None unless the disk refused a write.

    `path` is what was being written, if the caller knows. Without it, a permission that is missing
    may as well be that to read.
    """
    code = getattr(error, "errno", None)
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # as safetensors passes them on
        code = int(found[1])
    if code not in MENDS or isinstance(error, OutputError):
        return None
    if path is None:
        path = Path(getattr(error, "filename", None) or ".")
        if code in (errno.EACCES, errno.EPERM):
            what = f"{path.name or 'a file'}: {os.strerror(code).lower()}"
            mend = "change its permissions, or its folder's, and run the command again"
            return OutputError(str(path.parent), what, mend)
    # Unlike Path.exists, this is False for what may not be looked at.
    there = next(each for each in path.absolute().parents if os.path.exists(each))  # noqa: PTH110
    free = f"{shutil.disk_usage(there).free / 2**20:.0f} MiB free"
    what = f"{path.name} cannot be written ({os.strerror(code).lower()}; {free})"
    return OutputError(str(path.parent), what, f"{MENDS[code]} and run the command again")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, keys in the order given.

    Raises OutputError for NaN and infinity, which JSON does not know.
    """
    try:
        text = json.dumps(value, indent=2, allow_nan=False)
    except ValueError:
        what, mend = "a number in it would be NaN or infinite", "check what it is computed from"
        raise OutputError(str(path), what, mend) from None
    write_text(path, text + "\n")


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write UTF-8 CSV with a header line, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier stage's CSV; raises StaleInputError if there are none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError):
        rows = []
    if not rows:
        raise StaleInputError(str(path), "missing or empty", "run `dvc repro`")
    return rows


def digest(path: Path, algorithm: str = "md5") -> str:
    """Hex digest of a file's bytes; md5 by default, as in DVC's own records."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
