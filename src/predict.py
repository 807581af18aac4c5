"""`python -m src.predict PHOTO...`: whose face it is, by the champion or by a model file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli import parser, run
from src.files import check_output
from src.prediction.inputs import EXPLAINED, STDIN, Found, photos
from src.progress import tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from src.models.classifier import Classifier
    from src.models.threshold import Threshold
    from src.prediction.explain import Explainer
    from src.prediction.output import Writer
    from src.prediction.stream import Batch

EXAMPLES = """\
  python -m src.predict photo.jpg                            # the likeliest subjects
  python -m src.predict photos/ 'scans/**/*.png'             # a row for each photo
  python -m src.predict --explain explained/ photo.jpg       # an image of what speaks for it
  python -m src.predict --model models/ModelC.safetensors photo.jpg
  python -m src.predict --json photos/ | jq -r '.[] | select(.unknown).photo'
  find inbox -name '*.jpg' -print0 | python -m src.predict --null --csv - > names.csv"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print whose face is in each photo, or that it is unknown.

    The network is the champion, the best one registered in MLflow, unless --model names a file.
    Below its threshold a face is unknown; without strangers to set one by, no face is.

    One photo gets a table of its likeliest subjects; of several each gets a row, with the name and
    the probability of the likeliest subject. Answers are printed in batches as they come, those of
    a list on stdin not before 96 photos are listed or it ends. A photo that cannot be read is
    reported on stderr, and the others go on: the exit code is 0 if every photo has an answer, 1 if
    some have none, and 2 if none has one.
    """
    options = _arguments(argv)
    if options.explain:
        check_output(options.explain / EXPLAINED)
    from src.prediction.loading import load_model

    classifier, threshold = load_model(options.model).announced()
    explainer = _explainer(options.explain, classifier) if options.explain else None
    found = photos(options.photos, b"\0" if options.null else b"\n")
    first = [*(found if STDIN not in options.photos else islice(found, 2))]
    total = len(first) if STDIN not in options.photos else None
    writer = _writer(options, classifier, threshold, several=len(first) > 1)
    given: Iterable[Found] = chain(first, found)
    if not sys.stdout.isatty():  # where answers are to be seen there is no need for a bar
        given = tracked(given, "reading photos", total)
    from src.prediction.stream import answers

    return _report(answers(classifier, threshold, given, options.top), writer, explainer)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser("src.predict", str(main.__doc__), EXAMPLES)
    what = "image file, folder of them, or pattern; `-` for a list of files and folders on stdin"
    arguments.add_argument("photos", nargs="+", metavar="PHOTO", help=what)
    arguments.add_argument("--model", type=Path, help="file, or models:/NAME/VERSION (champion)")
    what = "subjects per photo, except in rows (5)"
    arguments.add_argument("--top", type=int, default=5, help=what)
    what = "write what each answer rests on to FOLDER/PHOTO.explained.png"
    arguments.add_argument("--explain", type=Path, metavar="FOLDER", help=what)
    what = "names on stdin end in NUL, as `find -print0` writes them"
    arguments.add_argument("--null", action="store_true", help=what)
    form = arguments.add_mutually_exclusive_group()
    what = "print a JSON array, a photo on each line"
    form.add_argument("--json", action="store_true", help=what)
    form.add_argument("--csv", action="store_true", help="print CSV, a photo in each row")
    parsed = arguments.parse_args(argv)
    if parsed.top < 1:
        arguments.error("--top must be 1 or more")
    return parsed


def _explainer(folder: Path, classifier: Classifier) -> Explainer:
    from src.prediction.explain import Explainer
    from src.prediction.neighbours import training_faces
    from src.tracking.store import project_root

    training = training_faces(classifier, project_root())
    if not isinstance(training, str):
        return Explainer(classifier, training, folder)
    print(f"note: explained without the nearest training faces: {training}", file=sys.stderr)
    return Explainer(classifier, None, folder)


def _writer(
    options: argparse.Namespace, classifier: Classifier, threshold: Threshold | None, several: bool
) -> Writer:
    from src.prediction.output import Csv, Json, Rows, Tables

    if options.json:
        return Json(sys.stdout)
    if options.csv:
        return Csv(sys.stdout, min(options.top, len(classifier.subjects)))
    if not several:
        return Tables(sys.stdout)
    return Rows(sys.stdout, classifier.subjects, bool(threshold and threshold.score))


def _report(batches: Iterator[Batch], writer: Writer, explainer: Explainer | None) -> int:
    """Write the answers, and explain them; returns the exit code."""
    answered = broken = 0
    try:
        for batch in batches:
            for error in batch.broken:
                print(f"error: {error}", file=sys.stderr)
            if batch.predictions:
                writer.write(batch.predictions)
                if explainer:
                    explainer.write(batch)
            answered += len(batch.predictions)
            broken += len(batch.broken)
    finally:
        writer.close()
    return 0 if answered and not broken else 1 if answered else 2


if __name__ == "__main__":
    run(main)
