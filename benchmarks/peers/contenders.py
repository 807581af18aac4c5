"""Who is compared: this project's experiments and the peers, with their environments."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from src import paths
from src.closure import ROOT
from src.errors import ConfigError

HERE = Path(__file__).parent
FOLDER = paths.SCRATCH / "peers"  # environments, exported images and results
IMAGES = FOLDER / "images"
SETUP = "run `python -m benchmarks.peers --setup`"


@dataclass(frozen=True)
class Contender:
    """A program of this folder with its arguments; `library` names its environment, "" is ours."""

    name: str
    library: str
    arguments: tuple[str, ...] = ()

    @property
    def program(self) -> Path:
        """The file that is run."""
        return HERE / (f"{self.library}_finetune.py" if self.library else "ours.py")

    @property
    def python(self) -> Path:
        """The interpreter of its environment; raises ConfigError where that is missing."""
        if not self.library:
            return Path(sys.executable)
        found = (FOLDER / self.library / "bin/python").absolute()
        if not found.exists():
            raise ConfigError(self.name, f"has no environment ({found.parent.parent})", SETUP)
        return found


DISCRIMINATIVE = ("--recipe", "discriminative")
DEFAULT = (
    Contender("fastai", "fastai"),
    Contender("fastai-discriminative", "fastai", DISCRIMINATIVE),
    Contender("timm", "timm"),
    Contender("lightning", "lightning"),
    Contender("torchvision", "torchvision"),
    Contender("torchvision-tutorial", "torchvision", ("--recipe", "tutorial")),
    Contender("transformers", "transformers"),
)
UPSCALED = tuple(
    Contender(f"{each.name}-{size}", each.library, (*each.arguments, "--size", str(size)))
    for size in (128, 224)  # pixels
    for each in DEFAULT
)
PEERS = {each.name: each for each in (*DEFAULT, *UPSCALED)}


def ours(experiment: str) -> Contender:
    """One of this project's experiments."""
    return Contender(experiment, "", ("--experiment", experiment))


def set_up(library: str) -> None:
    """Make the environment of a library anew, by uv; raises ConfigError where that fails."""
    folder = FOLDER / library
    uv = [sys.executable, "-m", "uv"]
    needed = HERE / f"requirements-{library}.txt"
    for command in (
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python",
         str(folder / "bin/python"), "-r", str(needed)],
    ):  # fmt: skip
        done = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ConfigError(f"environment {library}", done.stderr, "mend it and run it again")


def environment(threads: int) -> dict[str, str]:
    """The variables of every process: as many threads for all, and no GPU."""
    several = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    alone = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **several, **alone}
