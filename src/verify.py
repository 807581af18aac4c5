"""`python -m src.verify`: does training again give the recorded networks?

Machines with the same fingerprint must give the same bytes. Others are allowed a tolerance, whose
default was measured between two processors.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from src import cli, paths
from src.config import Params, load_params
from src.errors import ConfigError, StaleInputError
from src.files import digest

if TYPE_CHECKING:
    from src.tracking.record import RunRecord
    from src.training.job import StartingPoint, TrainingJob

TOLERANCE = 10.0  # percentage points: one head differed by nine, see docs/results.md
EXAMPLES = """\
  python -m src.verify
  python -m src.verify Baseline ModelA
  python -m src.verify ModelA --tolerance 2 --json"""
Answer = Literal["identical", "within tolerance", "different", "not comparable"]


@dataclass(frozen=True)
class Verdict:
    """The answer for one experiment; `why` is empty if it is identical."""

    name: str
    answer: Answer
    why: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict on one line."""
        because = ", because " if self.answer == "not comparable" else ": "
        return f"{self.name}: {self.answer}{because if self.why else ''}{'; '.join(self.why)}"


@dataclass(frozen=True)
class Outputs:
    """What `--faces`, `--source`, `--models` and `--runs` say."""

    faces: Path
    source: Path
    models: Path
    runs: Path

    def model(self, name: str) -> Path:
        """The trained network of one experiment."""
        return self.models / paths.model(name).name

    def record(self, name: str) -> Path:
        """The record of one experiment's run."""
        return self.runs / paths.run_record(name).name


def main(argv: Sequence[str] | None = None) -> int:
    """Train experiments again and compare the networks with the existing ones, byte for byte.

    The dataset, source weights, parameters and code must be those of the run's record; if they are
    not, the answer is `not comparable`. The same bytes are `identical`. Other bytes are `within
    tolerance` if the record has another fingerprint (processor, threads, torch) than this machine,
    and the validation accuracies are within the tolerance of each other; else they are `different`.
    No cache is read, and nothing in the project is written. The exit code is 1 if any answer is
    `different`, else 0. Of an experiment with several seeds, the network of the first is compared.
    """
    options = _arguments(argv)
    params = load_params()
    files = Outputs(options.faces, options.source, options.models, options.runs)
    names = options.names or list(params.experiments)
    for name in names:
        params.experiment(name)
    for path in (files.faces, files.source, *(files.record(name) for name in names)):
        if not path.is_file():
            raise StaleInputError(str(path), "no such file", "run `dvc pull` or `dvc repro`")
    verdicts = []
    for verdict in verify(names, params, files, options.tolerance):
        verdicts.append(verdict)
        if not options.json:
            print(verdict.sentence, flush=True)
    if options.json:
        print(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    return int(any(verdict.answer == "different" for verdict in verdicts))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser("src.verify", str(main.__doc__), EXAMPLES)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments; by default all")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help=f"percentage points of accuracy that machines may differ by ({TOLERANCE:g}; "
        "one head differed by nine between two processors, see docs/results.md)",
    )
    parser.add_argument("--faces", type=Path, default=paths.FACES, help="default: %(default)s")
    parser.add_argument("--source", type=Path, default=paths.SOURCE, help="default: %(default)s")
    parser.add_argument("--models", type=Path, default=paths.MODELS, help="default: %(default)s")
    parser.add_argument("--runs", type=Path, default=paths.RUNS, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    if not options.tolerance >= 0:
        raise ConfigError("--tolerance", "is below 0", "give percentage points, 0 or more")
    return options


def verify(
    names: Sequence[str], params: Params, files: Outputs, tolerance: float
) -> Iterator[Verdict]:
    """Verdicts one by one; `tolerance` in percentage points. Raises UserError for bad files."""
    from src.tracking.record import RunRecord
    from src.training.job import StartingPoint, TrainingJob

    starting_point = StartingPoint.load(files.faces, files.source)
    with tempfile.TemporaryDirectory() as scratch:  # shared: heads start from the same features
        for name in names:
            record = RunRecord.read(files.record(name))
            job = TrainingJob.of(name, params, starting_point, Path(scratch))
            if changed := tuple(_mismatches(record, job, files.model(name))):
                yield Verdict(name, "not comparable", changed)
            else:
                yield _retrain(record, job, tolerance)


def _mismatches(record: RunRecord, job: TrainingJob, model: Path) -> Iterator[str]:
    """What differs here from the inputs and the model file of the run."""
    from src.tracking.job import CODE, WEIGHTS, job_params, job_tags
    from src.tracking.seeds import SEEDS
    from src.tracking.writing import flatten

    here: StartingPoint = job.starting_point
    if record.model is None or not model.is_file() or digest(model) != record.model.md5:
        yield f"{model} is missing or is not the file that the run wrote"
    if record.dataset is None or record.dataset.md5 != here.faces_digest:
        yield "the dataset is a different version"
    tags, params = job_tags(job), flatten(job_params(job))
    if record.tags.get(WEIGHTS) != tags[WEIGHTS]:
        yield "the source weights differ"
    if record.tags.get(CODE) != tags[CODE]:
        commit = record.tags.get("git.commit", "an unknown commit")[:12]
        dirty = " with changes" if record.tags.get("git.dirty") == "true" else ""
        yield f"the code that trains is not that of {commit}{dirty}"
    for key in sorted((params.keys() | record.params.keys()) - {SEEDS}):
        if params.get(key) != record.params.get(key):
            yield f"{key} was {record.params.get(key)} and is {params.get(key)}"


def _retrain(record: RunRecord, job: TrainingJob, tolerance: float) -> Verdict:
    from src.models.network import save_network
    from src.training.engine import run_job
    from src.training.fingerprint import Fingerprint
    from src.training.progress import epochs_bar

    with epochs_bar(job.name, job.experiment.epochs) as advance:
        result = run_job(job, advance)
    path = job.scratch / "again.safetensors"
    save_network(path, result.state, result.spec)
    assert record.model is not None  # noqa: S101  # or it would not be comparable
    if digest(path) == record.model.md5:
        return Verdict(job.name, "identical")
    then, now = Fingerprint.from_tags(record.tags), Fingerprint.of(job.compute)
    before, again = record.first_finals["best_val/accuracy"], result.chosen.val_accuracy
    accuracies = f"validation accuracy {100 * again:.2f}% here, {100 * before:.2f}% in the record"
    if then == now:
        return Verdict(job.name, "different", ("other bytes with the same fingerprint", accuracies))
    machine = then.differences(now) if then else ("the record has no fingerprint",)
    near = 100 * abs(again - before) <= tolerance
    accuracies += f", {'within' if near else 'beyond'} {tolerance:g} points"
    return Verdict(job.name, "within tolerance" if near else "different", (accuracies, *machine))


if __name__ == "__main__":
    cli.run(main)
