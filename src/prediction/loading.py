"""The network that answers: the champion, a model file, or any registered version."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from src import paths
from src.config import PARAMS, load_params
from src.models.classifier import Classifier
from src.models.threshold import Threshold
from src.tracking.champion import URI, champion_of, version_at
from src.tracking.store import project_root
from src.tracking.unchanged import check_unchanged


@dataclass(frozen=True)
class Model:
    """A network with its threshold if it has one, and the `name` to show for it.

    A registered version's name has its experiment and dataset; a file's is its path.
    """

    classifier: Classifier
    threshold: Threshold | None
    name: str
    registered: bool

    def announced(self) -> tuple[Classifier, Threshold | None]:
        """Print to stderr which version answers, if it is one; returns what answers."""
        if self.registered:
            print(f"answered by {self.name}", file=sys.stderr)
        return self.classifier, self.threshold


def load_model(model: Path | None) -> Model:
    """The network in a model file, or registered as `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    By default the champion. A file's threshold is that of the last `evaluate`, if it was for it.

    Raises WeightsError, StaleInputError, ConfigError or TrackingError.
    """
    address = model.as_posix() if model else ""
    if model is not None and not address.startswith(URI):
        root = project_root()
        if model.resolve() == (root / paths.model(model.stem)).resolve():
            check_unchanged(model.stem, further=False, root=root)
        classifier = Classifier.load(model)  # first, as it says what is wrong with the file
        threshold = Threshold.of_model(root / paths.THRESHOLD, model)
        return Model(classifier, threshold, address, registered=False)
    if address:
        champion = version_at(address)
    else:
        champion = champion_of(load_params(project_root() / PARAMS).tracking.model)
    path = champion.threshold
    threshold = Threshold.of_model(path, champion.path) if path else None
    return Model(Classifier.load(champion.path), threshold, champion.name, registered=True)
