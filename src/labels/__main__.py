"""`python -m src.labels`: which training and validation images probably have a wrong label."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from src import cli, paths
from src.config import Params, load_params

if TYPE_CHECKING:
    from src.data.faceset import FaceSet
    from src.labels.probabilities import Judged
    from src.labels.suspects import Suspect

EXAMPLES = """\
  dvc repro embed && python -m src.labels
  python -m src.labels --json | jq -r '.suspects[:10][].file'
  python -m src.crossvalidate ModelA && python -m src.labels --folds ModelA"""


def main(argv: Sequence[str] | None = None) -> None:
    """List the training and validation images whose label is probably wrong, the clearest first.

    Classifiers that have not seen an image say whom it shows: logistic regressions on the frozen
    backbone's features, or the networks of a cross-validation. Where one of them is confident that
    it is somebody else, the image is listed and written to reports/labels.json. Look at it before
    you decide, and write the decision into data/corrections.csv. Test images are never listed.
    """
    parser = cli.parser("src.labels", str(main.__doc__), EXAMPLES)
    what = "ask the networks of an experiment that `python -m src.crossvalidate` trained"
    parser.add_argument("--folds", metavar="NAME", help=what)
    parser.add_argument("--top", type=int, default=20, help="how many to print (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, and all of them")
    options = parser.parse_args(argv)
    if options.top < 1:
        parser.error("--top must be 1 or more")
    params = load_params()

    from src.files import digest
    from src.labels.packed import check_origin
    from src.labels.probabilities import files_of, load_faces
    from src.labels.suspects import find_suspects, write_suspects

    faces = load_faces(paths.FACES)
    about = {"origin": params.data.origin, "faces_md5": digest(paths.FACES)}
    check_origin(Path(), **about)
    files = files_of(faces, paths.MANIFEST)
    judged = judge(params, faces, options.folds)
    found = find_suspects(
        judged.probabilities, judged.labels, faces.subjects, [files[row] for row in judged.rows]
    )
    left = undecided(found, params)
    write_suspects(paths.LABELS, left, **about)
    if options.json:
        print(json.dumps({**about, "suspects": [asdict(each) for each in left]}))
    else:
        show(left[: options.top])
    print(summary(judged, left, len(found) - len(left)), file=sys.stderr)


def judge(params: Params, faces: FaceSet, experiment: str | None) -> Judged:
    """What classifiers say of images that they have not seen; raises StaleInputError."""
    from src.labels.probabilities import by_crossvalidation, by_features, load_features

    if experiment is None:
        return by_features(faces, load_features(paths.FEATURES, paths.FACES), params.seed)

    from src.crossvalidate.outputs import PREDICTIONS

    return by_crossvalidation(faces, experiment, PREDICTIONS)


def undecided(found: Sequence[Suspect], params: Params) -> tuple[Suspect, ...]:
    """Those whose subject nobody has decided on, be it to keep it or to give it."""
    from src.data.corrections import read_corrections

    decided = {
        (each.file, name)
        for each in read_corrections(Path(params.data.corrections))
        if each.origin == params.data.origin
        for name in (each.subject, each.to)  # as it is packed until `dvc repro`, and afterwards
    }
    return tuple(each for each in found if (each.file, each.subject) not in decided)


def summary(judged: Judged, suspects: Sequence[Suspect], decided: int) -> str:
    """How many there are, and how far those who say so are to be trusted."""
    return (
        f"{len(suspects)} of {len(judged.rows)} training and validation images are suspect"
        + (f", and {decided} whose subject was decided" if decided else "")
        + f"; classifiers by {judged.by} agree with {judged.agreement:.0%} of all labels; "
        f"written to {paths.LABELS}"
    )


def show(suspects: Sequence[Suspect]) -> None:
    """Print a table; without lines and as wide as its text where no terminal shows it."""
    from rich.box import HEAVY_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from src.errors import printable

    if not suspects:
        return
    terminal = Console().is_terminal
    table = Table(box=HEAVY_HEAD if terminal else None)
    for title in ("file", "subject", "suggested"):
        table.add_column(title, overflow="fold")
    for title in ("probability", "margin"):
        table.add_column(title, justify="right")
    for each in suspects:
        # As Text, since rich would take `[ann]` in a string for markup.
        names = (Text(printable(name)) for name in (each.file, each.subject, each.suggested))
        table.add_row(*names, f"{each.probability:.0%}", f"{100 * each.margin:+.0f}")
    Console(width=None if terminal else 1000).print(table)


if __name__ == "__main__":
    cli.run(main)
