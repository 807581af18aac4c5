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

EXAMPLES = """\
  python -m src.predict photo.jpg
  python -m src.predict --json --top 3 photos/*.jpg
  python -m src.predict --model models/ModelC.safetensors photo.jpg"""


@dataclass(frozen=True)
class Prediction:
    """The likeliest subjects of one photo, best first."""

    photo: str
    subjects: tuple[tuple[str, float], ...]  # with their probabilities


def main(argv: Sequence[str] | None = None) -> None:
    """Print the likeliest subjects of face photos.

    The network is the champion, the best one registered in MLflow, unless --model names a file.
    """
    arguments = _arguments(argv)
    predictions = predict(load_classifier(arguments.model), arguments.photos, arguments.top)
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


def load_classifier(model: Path | None) -> Classifier:
    """The network in a model file, or the champion, whose name is printed to stderr.

    Raises WeightsError, StaleInputError, ConfigError or TrackingError.
    """
    from src.models.classifier import Classifier
    from src.tracking.unchanged import check_unchanged

    if model is not None:
        if model.resolve() == paths.model(model.stem).resolve():
            check_unchanged(model.stem)
        return Classifier.load(model)
    from src.tracking.champion import champion_of
    from src.tracking.store import project_root

    champion = champion_of(load_params(project_root() / PARAMS).tracking.model)
    print(f"answered by {champion.name}", file=sys.stderr)
    return Classifier.load(champion.path)


def predict(classifier: Classifier, photos: Sequence[Path], top: int) -> tuple[Prediction, ...]:
    """The `top` likeliest subjects of each photo; raises ImageError for the first bad one."""
    import numpy as np
    import torch

    from src.data.decode import decode

    given = {"origin": "-", "fit": classifier.spec.fit, "image_size": classifier.image_size}
    data = Data.model_validate(given)
    contents = ((os.fspath(photo), _read(photo, data.max_bytes)) for photo in photos)
    pixels = np.stack([decode(name, content, data) for name, content in contents])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    best = classifier.probabilities(images).topk(min(top, len(classifier.subjects)))
    names = [[classifier.subjects[index] for index in row] for row in best.indices.tolist()]
    return tuple(
        Prediction(os.fspath(photo), tuple(zip(subjects, probabilities, strict=True)))
        for photo, subjects, probabilities in zip(photos, names, best.values.tolist(), strict=True)
    )


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
        table = Table("subject", title=Text(printable(prediction.photo)), title_justify="left")
        table.add_column("probability", justify="right")
        for subject, probability in prediction.subjects:
            table.add_row(Text(printable(subject)), f"{probability:.1%}")
        Console().print(table)


if __name__ == "__main__":
    run(main)
