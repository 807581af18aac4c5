"""`python -m benchmarks.gpu`: all that is worth knowing about a GPU that is lent for ten minutes.

Of libraries it needs torch, torchvision, numpy, pydantic, safetensors, ruamel.yaml, pillow, psutil
and threadpoolctl, and of the project's files params.yaml and conf/: no MLflow, DVC or Optuna, no
data and no weights.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.options import count, dtype_name, three_or_more, with_changes
from src import cli
from src.config import PARAMS, Params, read_yaml, validate
from src.config.presets import changed, read_preset
from src.errors import redacted
from src.files import check_output, write_json

if TYPE_CHECKING:
    from benchmarks.measures import Bench
    from src.training.device import Compute
    from src.training.job import StartingPoint

NAMES = ("table", "heads", "bits", "steps", "tests")
EXAMPLES = """\
  python -m benchmarks.gpu
  python -m benchmarks.gpu --subjects 16 --minutes 5 --output gpu-16.json
  python -m benchmarks.gpu --measure table heads --precision float32
  python -m benchmarks.gpu --device cpu --subjects 2 --images 10 --epochs 1 --experiment Baseline"""


class OutOfTime(BaseException):
    """Raised in the middle of a measurement; no handler of errors shall take it for one."""


@dataclass
class Record:
    """What was found, written to `path` again after every finding, so that a kill loses little."""

    path: Path
    facts: dict[str, Any]
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write all of it as JSON, with text for numbers that are not finite."""
        parts = {"found": self.found, "left_out": self.left_out, "failed": self.failed}
        text = json.dumps({**self.facts, **parts})
        write_json(self.path, json.loads(text, parse_constant=str))

    def add(self, measure: str, name: str, finding: dict[str, Any]) -> None:
        """Keep and print a finding."""
        self.found.setdefault(measure, {})[name] = finding
        shown = ", ".join(f"{key} {_short(value)}" for key, value in finding.items())
        print(f"{measure:<8}{name}: {shown}", flush=True)
        self.write()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the engine on this machine's GPU within a limit of time, most valuable first.

    table: every experiment at the published sizes by the engine and by the plain loop (projected
    from two epochs), with peak memory and share of the matrix rate, then by the plain loop in the
    engine's precision and, where BatchNorm is frozen, with what is frozen computed once. heads: the
    search's heads in waves. bits: whether two runs give the same bits. steps: layouts,
    torch.compile and CUDA graphs. tests: those that need a GPU. Images and source weights are
    drawn, so accuracies mean nothing. What does not fit into the time is left out and named. The
    exit code is 1 if anything failed.
    """
    started = time.monotonic()
    parser = parser_of_options()
    options = parser.parse_args(argv)
    if (options.faces is None) != (options.source is None):
        parser.error("give both --faces and --source, or neither")
    check_output(options.output)
    params = params_of(options)
    names = tuple(options.experiment or params.experiments)
    for name in names:
        params = with_changes(params, name, options.epochs)

    from benchmarks.measures import Bench
    from src.training.device import resolve

    compute = resolve(params.engine.device, params.engine.precision)
    bench = Bench(params, names, _start(options, params), compute, options.backend, options.steps)
    given = sys.argv[1:] if argv is None else argv
    record = Record(
        options.output,
        {
            "command": shlex.join(["python", "-m", "benchmarks.gpu", *given]),
            **_machine(compute),
            **_sizes(bench.starting_point),
        },
    )
    measure(bench, options.measure, started + 60 * options.minutes, record)
    print(f"written to {options.output}")
    return 1 if record.failed else 0


def parser_of_options() -> ArgumentParser:
    """What `--help` shows."""
    parser = cli.parser("benchmarks.gpu", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    add("--minutes", type=float, default=10, help="after which all stops (%(default)s)")
    add("--measure", nargs="+", choices=NAMES, default=NAMES, help="instead of all, in this order")
    add("--output", type=Path, default=Path("gpu.json"), help="JSON file (%(default)s)")
    add("--device", default="auto", choices=["auto", "cpu", "cuda"], help="(%(default)s)")
    add("--precision", default="auto", help="auto, float32 or bfloat16 (%(default)s)")
    add("--preset", default="reference", help="file of conf/, without .yaml (%(default)s)")
    add("--experiment", nargs="+", help="names under `experiments`, instead of all")
    add("--epochs", type=count, help="instead of each experiment's and head's own")
    add("--heads", type=count, help="how many, instead of tune.trials")
    add("--subjects", type=count, default=100, help="(%(default)s)")
    add("--images", type=three_or_more, default=50, help="of each subject (%(default)s)")
    add("--faces", type=Path, help="packed faces, instead of drawn images")
    add("--source", type=Path, help="source weights, instead of random ones; with --faces")
    add("--backend", default="inductor", help="of torch.compile (%(default)s)")
    add("--steps", type=count, default=20, help="of each kind, where steps are timed (%(default)s)")
    return parser


def params_of(options: Namespace) -> Params:
    """params.yaml with the preset and the options."""
    raw = changed(read_yaml(PARAMS), read_preset(options.preset))
    raw.setdefault("engine", {}).update(device=options.device, precision=options.precision)
    given = {"trials": options.heads, "epochs": options.epochs}
    raw.setdefault("tune", {}).update({key: value for key, value in given.items() if value})
    return validate(Params, raw, f"{PARAMS} with preset {options.preset!r}")


def _start(options: Namespace, params: Params) -> StartingPoint:
    from benchmarks.drawn import drawn_start
    from src.training.job import StartingPoint

    if options.faces:
        return StartingPoint.load(options.faces, options.source)
    return drawn_start(params, options.subjects, options.images)


def _machine(compute: Compute) -> dict[str, Any]:
    import torch

    from benchmarks.plain import TUTORIAL
    from benchmarks.torch_defaults import allowed_tf32, as_torch_is

    with as_torch_is():
        plain_tf32 = allowed_tf32()
    cuda = compute.device.type == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": compute.name,
        "dtype": dtype_name(compute.dtype),
        "tf32": allowed_tf32(),
        "plain_dtype": dtype_name(TUTORIAL.dtype),
        "plain_tf32": plain_tf32,
        "memory_mb": torch.cuda.mem_get_info()[1] / 2**20 if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _sizes(start: StartingPoint) -> dict[str, Any]:
    from src.data.faceset import Split

    images = {split.name: len(start.faces.rows(split)) for split in Split}
    size = start.faces.images.shape[-1]
    return {"subjects": len(start.faces.subjects), "images": images, "image_size": size}


def measure(bench: Bench, names: Sequence[str], deadline: float, record: Record) -> None:
    """Run the measurements in turn until `deadline`, a time of `time.monotonic()`."""
    from benchmarks.measures import MEASURES, MissingError

    for name in names:
        run, share = MEASURES[name]
        left = deadline - time.monotonic()
        if left <= 0:
            record.left_out[name] = "no time was left"
            continue
        try:
            with time_limit(left if name == names[-1] else left * share):
                for finding in run(bench):
                    record.add(name, *finding)
        except OutOfTime:
            record.left_out[name] = "its time was up; what it had found by then is kept"
        except MissingError as error:
            record.left_out[name] = str(error)
        except Exception as error:  # whatever a driver or a compiler may raise
            record.failed[name] = redacted(f"{type(error).__name__}: {error}")
    for title, why in (("left out", record.left_out), ("failed", record.failed)):
        for name, reason in why.items():
            print(f"{title}: {name}, {reason}")
    record.write()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds; in the main thread only."""

    def stop(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    cli.run(main)
