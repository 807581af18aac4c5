"""Stages one after another in one process, which imports only once what takes most of their time.

A script: `python uninterrupted.py FOLDER STAGE...` in the project's folder. It keeps a copy of the
project from before each stage in FOLDER, one from the end, and how long each takes by itself.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
from pathlib import Path

LIGHT, HEAVY = ("torchvision",), ("matplotlib.pyplot", "mlflow.pyfunc", "sklearn.base")
IMPORTS = {"dataset": LIGHT, "train": HEAVY}  # of these stages and all later ones


def main(kept: Path, *stages: str) -> None:
    """Run the stages."""
    imports, seconds = 0.0, {}
    for stage in stages:
        shutil.copytree(".", kept / f"before-{stage}", symlinks=True)
        name, _, argument = stage.partition("@")
        begun = time.monotonic()
        for module in IMPORTS.get(name, ()):
            importlib.import_module(module)
        imports, begun = imports + time.monotonic() - begun, time.monotonic()
        importlib.import_module(f"pipelines.{name}").main([argument] if argument else [])
        seconds[stage] = imports + time.monotonic() - begun
    shutil.copytree(".", kept / "after", symlinks=True)
    (kept / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
