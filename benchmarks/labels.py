"""`python -m benchmarks.labels`: how many planted wrong labels `python -m src.labels` finds.

docs/labels.md shows what it found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING

from benchmarks.options import count
from src import cli, paths
from src.config import load_params

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.data.faceset import FaceSet
    from src.training.features import Features

EXAMPLES = """\
  python -m benchmarks.labels
  python -m benchmarks.labels --share 0.1 --seeds 5 --json"""


@dataclass(frozen=True)
class Finding:
    """Of one seed: how many labels were planted, how many were flagged, how many were both.

    first: how many of the clearest suspects, as many as were planted, were planted. agreement: the
    share of images that the classifiers name as they were before. by: what they were.
    """

    seed: int
    agreement: float
    by: str
    images: int
    planted: int
    flagged: int
    found: int
    first: int

    @property
    def shares(self) -> dict[str, float]:
        """Precision and recall of the first and of all flagged, and what the classifiers know."""
        return {
            "precision of the first": self.first / max(1, min(self.planted, self.flagged)),
            "recall of the first": self.first / self.planted,
            "precision of all": self.found / max(1, self.flagged),
            "recall of all": self.found / self.planted,
            "flagged": self.flagged,
            "classifiers' agreement": self.agreement,
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Give some training and validation images the label of another subject, and look for them.

    `first` are the clearest suspects, as many as were planted. Labels that are wrong from the start
    count as right, and so do images that nobody could name.
    """
    parser = cli.parser("benchmarks.labels", str(main.__doc__), EXAMPLES)
    parser.add_argument(
        "--share", type=float, default=0.05, help="of labels that are planted (%(default)s)"
    )
    parser.add_argument("--seeds", type=count, default=10, help="how often (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each seed")
    options = parser.parse_args(argv)
    if not 0 < options.share < 1:
        parser.error("--share must be between 0 and 1")
    load_params()

    from src.labels.probabilities import load_faces, load_features

    faces, features = load_faces(paths.FACES), load_features(paths.FEATURES, paths.FACES)
    findings = [look(faces, features, options.share, seed) for seed in range(options.seeds)]
    if options.json:
        print("\n".join(json.dumps({**asdict(each), **each.shares}) for each in findings))
    else:
        show(findings)


def look(faces: FaceSet, features: Features, share: float, seed: int) -> Finding:
    """Plant wrong labels, and count how many of them are found."""
    import torch

    from src.data.faceset import Split
    from src.labels.confident import doubts
    from src.labels.probabilities import by_features

    ours = (faces.split != Split.test.value).numpy()
    before = faces.labels.numpy()
    after = before.copy()
    after[ours] = planted(before[ours], share, seed)
    judged = by_features(replace(faces, labels=torch.from_numpy(after)), features, seed)
    rows = judged.rows[doubts(judged.probabilities, judged.labels).rows]
    right = after[rows] != before[rows]
    number = int((after != before).sum())
    return Finding(
        seed=seed,
        agreement=replace(judged, labels=before[judged.rows]).agreement,
        by=judged.by,
        images=int(ours.sum()),
        planted=number,
        flagged=len(rows),
        found=int(right.sum()),
        first=int(right[:number].sum()),
    )


def planted(labels: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """The labels with `share` of them, at least one, replaced by any of the others."""
    import numpy as np

    draw = np.random.default_rng(seed)
    rows = draw.choice(len(labels), max(1, round(share * len(labels))), replace=False)
    subjects = int(labels.max()) + 1
    given = labels.copy()
    given[rows] = (labels[rows] + draw.integers(1, subjects, len(rows))) % subjects
    return given


def show(findings: Sequence[Finding]) -> None:
    """Print the mean and range over the seeds of each share."""
    planted, images = findings[0].planted, findings[0].images
    print(f"{planted} of {images} labels planted, seeds: {len(findings)}; mean (range)")
    for name in findings[0].shares:
        values = [each.shares[name] for each in findings]
        form = "{:.0f} ({:.0f} to {:.0f})" if name == "flagged" else "{:.0%} ({:.0%} to {:.0%})"
        print(f"{name:25}{form.format(mean(values), min(values), max(values))}")


if __name__ == "__main__":
    cli.run(main)
