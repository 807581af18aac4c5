"""Stage `register`: the best experiment by validation accuracy may become the champion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipelines import paths
from src.cli import parser, run
from src.config import load_params
from src.errors import StaleInputError
from src.files import write_json

EXAMPLES = "  python -m pipelines.register\n  dvc repro register"


@dataclass(frozen=True)
class Candidate:
    """What one experiment offers."""

    name: str
    val_accuracy: float
    trainable_parameters: int

    @property
    def merit(self) -> tuple[float, int]:
        """Orders candidates by validation accuracy; of equals, the one that trained less."""
        return self.val_accuracy, -self.trainable_parameters


def main(argv: Sequence[str] | None = None) -> None:
    """Promote the best experiment's model if it beats the present champion."""
    from src.tracking.registry import promote

    parser("pipelines.register", str(main.__doc__), EXAMPLES).parse_args(argv)
    best = max(map(read_candidate, load_params().experiments), key=lambda each: each.merit)
    print(promote(paths.run_record(best.name), best.val_accuracy).sentence)
    # Only what the inputs decide: which version it became is the registry's to say.
    write_json(paths.REGISTERED, asdict(best))


def read_candidate(name: str) -> Candidate:
    """One experiment's validation accuracy; raises StaleInputError where it has none."""
    path = paths.train_metrics(name)
    try:
        metrics = json.loads(path.read_bytes())
        return Candidate(name, metrics["val"]["accuracy"], metrics["trainable_parameters"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StaleInputError(
            str(path), "no validation accuracy in it", f"run `dvc repro train@{name}`"
        ) from None


if __name__ == "__main__":
    run(main)
