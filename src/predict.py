"""`python -m src.predict PHOTO...`: whose face it is, by the champion or by a model file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src import paths
from src.cli import parser, run
from src.config import PARAMS, Data, load_params
from src.errors import ImageError, printable

if TYPE_CHECKING:
    from src.models.classifier import Classifier
    from src.models.threshold import Threshold

UNKNOWN = "unknown"
EXAMPLES = """\
  python -m src.predict photo.jpg
  python -m src.predict --json --top 3 photos/*.jpg
  python -m src.predict --model models/ModelC.safetensors photo.jpg"""


@dataclass(frozen=True)
class Prediction:
    """The likeliest subjects of one photo, best first, with their probabilities.

    unknown: whether it looks like none of them. candidates: the subjects that it may well be; None
    without a threshold.
    """

    photo: str
    subjects: tuple[tuple[str, float], ...]
    unknown: bool
    candidates: tuple[str, ...] | None

    @property
    def name(self) -> str:
        """The answer in a word."""
        return UNKNOWN if self.unknown else self.subjects[0][0]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the likeliest subjects of face photos, or that a face is unknown.

    The network is the champion, the best one registered in MLflow, unless --model names a file.
    Below its threshold a face is unknown; without strangers to set one by, no face is.
    """
    arguments = _arguments(argv)
    classifier, threshold = load_classifier(arguments.model)
    predictions = predict(classifier, threshold, arguments.photos, arguments.top)
    (_print_json if arguments.json else _print_tables)(predictions)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser("src.predict", str(main.__doc__), EXAMPLES)
    arguments.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image file")
    arguments.add_argument("--model", type=Path, help="model file; by default the champion")
    arguments.add_argument("--top", type=int, default=5, help="subjects per photo (5)")
    arguments.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parsed = arguments.parse_args(argv)
    if parsed.top < 1:
        arguments.error("--top must be 1 or more")
    return parsed


def load_classifier(model: Path | None) -> tuple[Classifier, Threshold | None]:
    """The network in a model file, or registered as `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    By default the champion. Which version answers is printed to stderr, with its experiment and
    dataset. Each comes with its threshold if it has one: a file's is that of the last `evaluate`,
    if it was for it.

    Raises WeightsError, StaleInputError, ConfigError or TrackingError.
    """
    from src.models.classifier import Classifier
    from src.models.threshold import Threshold
    from src.tracking.champion import URI, champion_of, version_at
    from src.tracking.unchanged import check_unchanged

    address = model.as_posix() if model else ""
    if model is not None and not address.startswith(URI):
        if model.resolve() == paths.model(model.stem).resolve():
            check_unchanged(model.stem)
        return Classifier.load(model), Threshold.of_model(paths.THRESHOLD, model)
    from src.tracking.store import project_root

    if address:
        champion = version_at(address)
    else:
        champion = champion_of(load_params(project_root() / PARAMS).tracking.model)
    print(f"answered by {champion.name}", file=sys.stderr)
    path = champion.threshold
    threshold = Threshold.of_model(path, champion.path) if path else None
    return Classifier.load(champion.path), threshold


def predict(
    classifier: Classifier, threshold: Threshold | None, photos: Sequence[Path], top: int
) -> tuple[Prediction, ...]:
    """The `top` likeliest subjects of each photo; raises ImageError for the first bad one."""
    import numpy as np
    import torch

    from src.data.decode import decode
    from src.models.threshold import answer

    given = {"origin": "-", "fit": classifier.spec.fit, "image_size": classifier.image_size}
    data = Data.model_validate(given)
    contents = ((os.fspath(photo), _read(photo, data.max_bytes)) for photo in photos)
    pixels = np.stack([decode(name, content, data) for name, content in contents])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    found, subjects = answer(classifier, threshold, images), classifier.subjects
    best = found.probabilities.topk(min(top, len(subjects)))
    predictions = []
    for row, photo in enumerate(photos):
        names = [subjects[index] for index in best.indices[row].tolist()]
        candidates = None
        if found.candidates is not None:
            candidates = tuple(subjects[index] for index in found.candidates[row].nonzero())
        predictions.append(
            Prediction(
                os.fspath(photo),
                tuple(zip(names, best.values[row].tolist(), strict=True)),
                bool(found.unknown[row]),
                candidates,
            )
        )
    return tuple(predictions)


def _read(photo: Path, max_bytes: int) -> bytes:
    from src.data.files import read_file

    try:
        return read_file(photo, max_bytes)
    except OSError as error:
        what = (error.strerror or "cannot be read").lower()
        raise ImageError(str(photo), what, "give the path of an image file") from None


def _print_json(predictions: Sequence[Prediction]) -> None:
    lines = [
        {
            "photo": prediction.photo,
            "name": prediction.name,
            "unknown": prediction.unknown,
            "candidates": prediction.candidates,
            "subjects": [
                {"subject": subject, "probability": round(probability, 6)}
                for subject, probability in prediction.subjects
            ],
        }
        for prediction in predictions
    ]
    print(json.dumps(lines, indent=2))


def _print_tables(predictions: Sequence[Prediction]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    for prediction in predictions:
        # As Text, since rich would take `[ann]` in a string for markup.
        title = f"{prediction.photo}: {UNKNOWN}" if prediction.unknown else prediction.photo
        table = Table("subject", title=Text(printable(title)), title_justify="left")
        table.add_column("probability", justify="right")
        if prediction.candidates is not None:
            said = f"candidates: {', '.join(prediction.candidates) or 'none'}"
            table.caption, table.caption_justify = Text(printable(said)), "left"
        for subject, probability in prediction.subjects:
            table.add_row(Text(printable(subject)), f"{probability:.1%}")
        Console().print(table)


if __name__ == "__main__":
    run(main)
