"""Errors that a user can correct, one class for each kind.

`src.cli` shows each as a single line that says where it is, what is wrong and how to correct it,
so that callers need not catch one to explain it. None shows a credential.
"""

from __future__ import annotations

import errno
import re
import traceback
from urllib.parse import unquote

# `user:password@` or `token@` after `://`. A password may have unescaped `@` and `/` in it, so all
# up to the last `@` goes, at the risk of a path's.
_USERINFO = re.compile(r"://(?:([^\s/?#:@'\"]*):[^\s'\"]*@|[^\s/?#'\"]+@)")
_ASSIGNED = re.compile(
    r"\b(\w*(?:password|passwd|passphrase|pwd|secret|token|api_?key)\s?=\s?)[^\s'\"]+", re.I
)
LONGEST = 2000  # characters of a part of an error; a file may hold a key of any length
_SHORTEST = 4  # characters of a secret that is also searched for on its own
_secrets: set[str] = set()


def hide(secret: str | None) -> None:
    """Let `redacted` take this out too where it stands alone, as drivers' messages may have it."""
    given = secret or ""
    _secrets.update(text for text in (given, unquote(given)) if len(text) >= _SHORTEST)


def redacted(text: str) -> str:
    """The text without the credentials in its URLs; a user name stays."""
    text = _USERINFO.sub(lambda found: f"://{found[1]}:***@" if found[1] else "://***@", text)
    text = _ASSIGNED.sub(r"\1***", text)
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def has_password(url: str) -> bool:
    """Whether the URL of a server or database holds a password, and not only a user name."""
    userinfo = _USERINFO.search(url)
    return bool((userinfo and userinfo[1] is not None) or _ASSIGNED.search(url))


def printable(text: str) -> str:
    """`text` with its control characters escaped, which a terminal would obey."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _shortened(text: str) -> str:
    """`text` on one line of bounded length and without credentials."""
    whole = " ".join(text.split())
    if len(whole) > 4 * LONGEST:  # cut between words, or half a password would not be known for one
        whole = whole[: 4 * LONGEST].rpartition(" ")[0] or whole[: 4 * LONGEST]
    shown = redacted(whole)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} ..."


class UserError(Exception):
    """Something the user can correct; commands print it on one line and exit with code 2."""

    def __init__(self, where: str, what: str, mend: str) -> None:
        self.where, self.what, self.mend = (
            printable(_shortened(text)) for text in (where, what, mend)
        )
        super().__init__(f"{self.where}: {self.what}; {self.mend}")

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        """By its three parts, so that it also comes out of another process."""
        return type(self), (self.where, self.what, self.mend)


class ConfigError(UserError):
    """A key or value of params.yaml, a preset or an origin file that cannot be used."""


class OriginError(UserError):
    """The dataset's origin is missing, unsafe, or not laid out as images of subjects."""


class ImageError(UserError):
    """One image file that cannot be decoded, or is too large to be safe."""


class AuditError(UserError):
    """The audit found something whose policy is `fail`."""


class WeightsError(UserError):
    """Source weights that are missing, corrupt, or belong to another network."""


class OutputError(UserError):
    """An output that cannot be written: the disk refuses, or numbers in it are not finite."""


class StaleInputError(UserError):
    """An input is missing, or was made from another dataset or other weights than the rest."""


class DivergedError(UserError):
    """Training whose loss became infinite or no number at all."""


class RankError(UserError):
    """Another process of a training on several has ended, or does not answer."""


class TrackingError(UserError):
    """The MLflow store, run or model that a command needs is missing or unusable."""


class TuneError(UserError):
    """An Optuna study that cannot be opened, resumed or run."""


class MemoryShortageError(UserError):
    """More memory was asked for than there is, on the processor or on a GPU."""


# The last two are how cuBLAS and oneDNN say it.
_SHORT = re.compile(
    "out of memory|can't allocate memory|not enough memory|ALLOC_FAILED|could not create a primi",
    re.I,
)
_WANTED = re.compile(r"allocate ([\d.]+) (\w+)")
_LOWER = {  # by package
    "src.data": "data.max_pixels or data.image_size",
    "src.evaluation": "data.image_size or seeds",
    "src.tune": "tune.wave",
}
_LOWER_ELSEWHERE = "experiments.NAME.batch_size, engine.cache_limit or engine.cache_fraction"


def is_shortage(error: BaseException) -> bool:
    """Whether an allocator refused; torch's raise a RuntimeError, or a subclass of it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    torchs = isinstance(error, RuntimeError) and _SHORT.search(str(error))
    return bool(torchs) or isinstance(error, MemoryError)


def lone_value(error: BaseException) -> ConfigError | None:
    """What torch's refusal to normalise a channel by its only value means; None if it is another.

    That is of a batch of one image, of which a block is left with one pixel.
    """
    if "Expected more than 1 value per channel" not in str(error):
        return None
    what = "a batch has one image, and a block leaves it one pixel, too few for BatchNorm"
    return ConfigError("params.yaml", what, "change batch_size, data.image_size or model.stem")


def shortage(error: BaseException) -> MemoryShortageError | None:
    """`error` as one that says what to lower; None unless memory ran out."""
    if not is_shortage(error):
        return None
    what = "there is not enough"
    if wanted := _WANTED.search(str(error)):
        number, unit = wanted.groups()
        more = f"{float(number) / 2**20:.0f} MiB" if unit == "bytes" else f"{number} {unit}"
        what += f" for {more} more"
    frames = traceback.walk_tb(error.__traceback__)
    passed = [str(frame.f_globals.get("__name__")) for frame, _ in frames]
    rooms = [room for room in _LOWER if any(name.startswith(f"{room}.") for name in passed)]
    lower = _LOWER[rooms[0]] if rooms else _LOWER_ELSEWHERE
    return MemoryShortageError("memory", what, f"lower {lower}, or end other programs")
