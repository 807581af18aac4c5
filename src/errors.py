"""The failures a user can cause, one class each.

Every one is shown as a single line that says what is wrong, where, and how to mend it
(`src.cli`), so a message is written here once and never dressed up by its callers.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can mend; commands print it on one line and exit with code 2."""

    def __init__(self, where: str, what: str, mend: str) -> None:
        self.where, self.what, self.mend = where, what, mend
        super().__init__(" ".join(f"{where}: {what}; {mend}".split()))


class ConfigError(UserError):
    """A key or value of params.yaml (or of a recipe file) that cannot be used."""


class OriginError(UserError):
    """The dataset's origin is missing, unsafe, or not laid out as images of subjects."""


class ImageError(UserError):
    """One image file that cannot be decoded, or is too large to be safe."""


class AuditError(UserError):
    """The audit found something that its policy says must stop the run."""


class WeightsError(UserError):
    """Source weights that are missing, corrupt, or belong to another network."""


class StaleInputError(UserError):
    """An input was made from another dataset or other weights than the rest."""


class TrackingError(UserError):
    """The MLflow store, run or model that a command needs is not there."""


class TuneError(UserError):
    """A study that cannot be opened, resumed or run as asked."""
