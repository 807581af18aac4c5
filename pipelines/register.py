"""Stage `register`: register the best experiment by validation accuracy, promoted by the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from src import paths
from src.cli import parser, run
from src.config import load_params
from src.evaluation.choice import Contender, choose
from src.files import write_json

EXAMPLES = "  python -m pipelines.register\n  dvc repro register"


def main(argv: Sequence[str] | None = None) -> None:
    """Register the best experiment's model, and promote it if it beats the current champion.

    Its threshold goes with it. `python -m src.registry` lists, compares and rolls back.
    """
    parser("pipelines.register", str(main.__doc__), EXAMPLES).parse_args(argv)
    params = load_params()
    names = params.experiments
    best = choose(Contender.read(name, paths.train_metrics(name)) for name in names)
    model = params.tracking.model
    if params.tracking.offline:
        print(f"{best.name} is registered by `python -m src.tracking reconcile`")
    else:
        from src.tracking.pages import describe_model
        from src.tracking.registry import promote
        from src.tracking.store import open_backend

        record, threshold = paths.run_record(best.name), paths.THRESHOLD
        gate = params.tracking.gate
        print(promote(record, best.val_accuracy, model, threshold, gate).sentence)
        describe_model(open_backend(), model)
    # Not the version, which depends on the registry and not on the inputs alone.
    write_json(paths.REGISTERED, {"model": model, **asdict(best)})


if __name__ == "__main__":
    run(main)
