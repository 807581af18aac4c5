"""`python -m benchmarks.peers`: this project's engine beside what a user would take instead."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.options import count
from benchmarks.peers.comparison import Result, table
from benchmarks.peers.contenders import (
    DEFAULT,
    FOLDER,
    IMAGES,
    PEERS,
    Contender,
    environment,
    ours,
    set_up,
)
from src import cli, paths
from src.config import load_params
from src.errors import ConfigError

EXAMPLES = """\
  python -m benchmarks.peers --setup
  python -m benchmarks.peers --seeds 3 --threads 2
  python -m benchmarks.peers --peer timm fastai --seeds 1 --epochs 2
  python -m benchmarks.peers --experiment ModelC --peer timm-224 fastai-224 --seeds 1
  python -m benchmarks.peers --experiment ModelA --epochs 7 --peer timm-128 --peer-epochs 24"""


def main(argv: Sequence[str] | None = None) -> int:
    """Fine-tune the same network on the same images by several libraries, and compare.

    All start from the same source weights, train on the processor and validate after each epoch.
    Each training is a process of its own, seed by seed in turn. Test accuracy is only reported.
    """
    parser = cli.parser("benchmarks.peers", str(main.__doc__), EXAMPLES)
    add = parser.add_argument
    names = [each.name for each in DEFAULT]
    add("--setup", action="store_true", help="make the peers' environments by uv, and stop")
    add("--peer", nargs="+", choices=PEERS, default=names, metavar="NAME", help=", ".join(PEERS))
    three = ["ModelA", "ModelB", "ModelC"]
    add("--experiment", nargs="*", default=three, metavar="NAME", help="ours (%(default)s)")
    add("--seeds", type=count, default=3, help="trainings of each (%(default)s)")
    add("--epochs", type=count, default=10, help="of each training (%(default)s)")
    add("--peer-epochs", type=count, help="of the peers' trainings, if not as many")
    add("--threads", type=count, default=2, help="of each process (%(default)s)")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto",
        help="of those that offer a choice (auto: as the engine takes it here)")  # fmt: skip
    add("--minutes", type=count, default=15, help="that a training may take (%(default)s)")
    add("--json", action="store_true", help="print all results as JSON instead")
    options = parser.parse_args(argv)
    params = load_params()
    for name in options.experiment:
        params.experiment(name)
    peers = [PEERS[name] for name in options.peer]
    if options.setup:
        for library in dict.fromkeys(peer.library for peer in peers):
            set_up(library)
            print(f"made {FOLDER / library}")
        return 0
    options.precision = prepare(options.precision)
    contenders = [*map(ours, options.experiment), *peers]
    results, failures = compare(contenders, options)
    if options.json:
        print(json.dumps(results))
    else:
        parsed = {name: list(map(Result.of, runs)) for name, runs in results.items()}
        print(table(parsed, options.experiment))
    print(*(f"failed: {failure}" for failure in failures), sep="\n", file=sys.stderr)
    return int(bool(failures))


def prepare(precision: str) -> str:
    """Export the packed faces as PNG in ImageFolder's layout, and say what `auto` stands for."""
    from benchmarks.options import dtype_name
    from benchmarks.plain import write_folders
    from src.data.faceset import FaceSet
    from src.training.device import resolve

    faces = FaceSet.load(paths.FACES)
    shutil.rmtree(IMAGES, ignore_errors=True)  # which may be those of other faces
    write_folders(faces, IMAGES)
    return dtype_name(resolve("cpu", precision).dtype)


def compare(
    contenders: Sequence[Contender], options: Namespace
) -> tuple[dict[str, list[dict[str, object]]], list[str]]:
    """What each contender wrote for each seed, and what failed; a failure ends only its own."""
    results: dict[str, list[dict[str, object]]] = {each.name: [] for each in contenders}
    failed: dict[str, str] = {}
    for seed in range(options.seeds):
        # In turn, so that the processor's state favours none.
        for contender in contenders if seed % 2 == 0 else reversed(contenders):
            if contender.name in failed:
                continue
            try:
                found = train(contender, seed, options)
            except ConfigError as error:
                failed[contender.name] = str(error)
                print(f"{contender.name}: {error}", file=sys.stderr)
                continue
            results[contender.name].append(found)
            print(f"{contender.name}, seed {seed}: {found['seconds']:.1f} s", file=sys.stderr)
    return results, list(failed.values())


def train(contender: Contender, seed: int, options: Namespace) -> dict[str, object]:
    """One training in a process of its own; raises ConfigError, naming the log, if it fails."""
    stem = FOLDER / "results" / f"{contender.name}-{seed}"
    output, log = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.log")
    stem.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    images = IMAGES if contender.library else paths.FACES
    epochs = (contender.library and options.peer_epochs) or options.epochs
    numbers = {"seed": seed, "epochs": epochs, "threads": options.threads}
    command = [contender.python, "-P", contender.program, images, paths.SOURCE]
    command += [Path(f"--{name}={value}") for name, value in numbers.items()]
    arguments = [*contender.arguments, f"--precision={options.precision}", f"--output={output}"]
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603 - our own programs
            [*map(str, command), *arguments], stdout=file, stderr=subprocess.STDOUT,
            env=environment(options.threads), start_new_session=True,
        )  # fmt: skip
        said = _wait(process, 60 * options.minutes)
    seconds = time.perf_counter() - began
    if said or not output.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ConfigError(contender.name, said or lines[-1], f"see {log}")
    return {**json.loads(output.read_text(encoding="utf-8")), "process_seconds": seconds}


def _wait(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Until the process has ended, with its loader's workers; what went wrong, or nothing."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds / 60:.0f} minutes"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"exit code {code}" if code else ""


if __name__ == "__main__":
    cli.run(main)
