"""Errors that a user can correct, one class for each kind.

`src.cli` shows each as a single line that says where it is, what is wrong and how to correct it,
so that callers need not catch one to explain it.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with its control characters escaped, which a terminal would obey."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class UserError(Exception):
    """Something the user can correct; commands print it on one line and exit with code 2."""

    def __init__(self, where: str, what: str, mend: str) -> None:
        self.where, self.what, self.mend = (
            printable(" ".join(text.split())) for text in (where, what, mend)
        )
        super().__init__(f"{self.where}: {self.what}; {self.mend}")


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


class StaleInputError(UserError):
    """An input is missing, or was made from another dataset or other weights than the rest."""


class TrackingError(UserError):
    """The MLflow store, run or model that a command needs is missing or unusable."""


class TuneError(UserError):
    """An Optuna study that cannot be opened, resumed or run."""
