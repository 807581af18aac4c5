"""`python -m tests.corpus ROUNDS`: what the dataset stage makes of mutated images and archives.

Prints a line of JSON per family with `--json`, else the table of docs/fuzzing.md. Each family is
read by a process of its own, whose memory and time of the processor are bounded; nothing else but
its origins is in its folder, which must hold nothing more afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.fft  # noqa: F401 -- what packing imports, before memory is measured
import torch  # noqa: F401

from src.data.audit import KINDS
from src.data.pack import pack
from src.errors import UserError
from tests.corpus.archives import ARCHIVES, suffix
from tests.corpus.images import IMAGES
from tests.data.conftest import settings, subjects, write_folder

SECONDS = 10  # of the processor, which no origin may take; a folder has one and a bit per image
PER_IMAGE = 0.5
OWN = {"origins.json", "origins", "sound", "result.json", "at"}  # what this module writes


@dataclass(frozen=True)
class Result:
    """What came of a family: counts by outcome, and each case that ended as it must not."""

    family: str
    outcomes: dict[str, int]
    wrong: list[str]
    slowest: float  # seconds for an archive, or for a folder divided by its images
    mebibytes: int  # beyond what reading sound images takes


def results(rounds: int, seed: int, only: str) -> Iterator[Result]:
    for number, family in enumerate((*IMAGES, *ARCHIVES)):
        if only in family:
            yield _in_a_process(family, rounds, seed + number)


def _in_a_process(family: str, rounds: int, seed: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _forked(lambda: _write(root, family, rounds, np.random.default_rng(seed)))
        code = _forked(lambda: _read(root, family))
        there = root / "result.json"
        found = json.loads(there.read_text()) if there.exists() else {}
        wrong = found.get("wrong", [])
        if code:
            wrong += [f"the process ended with {code} at {(root / 'at').read_text()}"]
        wrong += [f"{name} was written" for name in {path.name for path in root.iterdir()} - OWN]
        grown = found.get("mebibytes", 0)
        return Result(family, found.get("outcomes", {}), wrong, found.get("slowest", 0.0), grown)


def _forked(work: Callable[[], None]) -> int:
    """Do the work in a process of its own; returns 0, or the signal that ended it negated."""
    if not (child := os.fork()):
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _peak() -> int:
    """The most memory that this process has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _write(root: Path, family: str, rounds: int, draw: np.random.Generator) -> None:
    """Images go into one folder beside sound ones, each archive into a file of its own."""
    (root / "origins").mkdir()
    kind, made = ARCHIVES.get(family) or ("png", IMAGES[family])
    expected = {}
    for number, (content, outcomes) in enumerate(made(draw, rounds)):
        ending = suffix(content) if kind == "*" else kind
        folder = "" if family in ARCHIVES else "mutated/"
        name = f"{folder}{number}.{ending}"
        write_folder(root / "origins", {name: content})
        expected[name] = outcomes
    write_folder(root / "sound", subjects("ab", 4))
    if family in IMAGES:
        write_folder(root / "origins", subjects("ab", 4))
    (root / "origins.json").write_text(json.dumps(expected))


def _read(root: Path, family: str) -> None:
    os.chdir(root)
    os.environ["TMPDIR"] = tempfile.tempdir = str(root)
    # A forked process has none of the libraries' pages at first; reading sound images gets them.
    assert _outcomes(Path("sound")) == {"": "used"}
    before = _peak()
    expected: dict[str, str] = json.loads(Path("origins.json").read_text())
    found: dict[str, str] = {}
    slowest = 0.0
    folder = Path("origins")
    for origin in [folder] if family in IMAGES else [folder / name for name in expected]:
        images = len(expected) if family in IMAGES else 0
        Path("at").write_text(str(origin))
        signal.setitimer(signal.ITIMER_PROF, SECONDS + PER_IMAGE * images)
        started = time.process_time()
        outcomes = _outcomes(origin)
        slowest = max(slowest, (time.process_time() - started) / (images or 1))
        names = expected if family in IMAGES else [origin.name]
        found |= {name: outcomes.get(name, outcomes[""]) for name in names}
    signal.setitimer(signal.ITIMER_PROF, 0)
    wrong = [
        f"{name}: {found[name]} instead of {allowed}"
        for name, allowed in expected.items()
        if found[name].split(":")[0] not in allowed.split("|")
    ]
    outcomes = Counter(each.split(":")[0] for each in found.values())
    Path("result.json").write_text(
        json.dumps(
            {
                "outcomes": outcomes,
                "wrong": wrong,
                "slowest": slowest,
                "mebibytes": _peak() - before,
            }
        )
    )


def _outcomes(origin: Path) -> dict[str, str]:
    """By image, and that of all others under the empty name."""
    try:
        packed = pack(settings(origin, audit=dict.fromkeys(KINDS, "warn")), seed=0)
    except UserError as error:
        line = str(error)
        return {"": f"refused: {line}" if line.isprintable() else f"several lines: {line!r}"}
    except Exception as error:
        return {"": f"traceback: {error!r} {traceback.format_exc()[-300:]}"}
    aside = {each.files[0]: "aside" for each in packed.findings if each.kind == "unreadable"}
    return {"": "used"} | aside


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus")
    parser.add_argument("rounds", type=int, nargs="?", default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="families whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print("| family | cases | used | set aside | refused | seconds | MiB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for result in results(options.rounds, options.seed, options.only):
        if options.json:
            print(json.dumps(asdict(result)), flush=True)
            continue
        counts = [result.outcomes.get(each, 0) for each in ("used", "aside", "refused")]
        cells = (result.family, sum(counts), *counts, f"{result.slowest:.2f}", result.mebibytes)
        print("|", " | ".join(map(str, cells)), "|", flush=True)
        print(*(f"{line}\n" for line in result.wrong), sep="", end="", file=sys.stderr)


if __name__ == "__main__":
    main()
