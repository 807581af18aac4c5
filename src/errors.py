"""Errors that a user can correct, one class for each kind.

`src.cli` shows each as a single line that says where it is, what is wrong and how to correct it,
so that callers need not catch one to explain it.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can correct; commands print it on one line and exit with code 2."""

    def __init__(self, where: str, what: str, mend: str) -> None:
        self.where, self.what, self.mend = where, what, mend
        super().__init__(" ".join(f"{where}: {what}; {mend}".split()))


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


class TrackingError(UserError):
    """The MLflow store, run or model that a command needs is missing or unusable."""


class TuneError(UserError):
    """An Optuna study that cannot be opened, resumed or run."""
