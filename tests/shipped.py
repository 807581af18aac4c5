"""The project as git has it, whatever a user's commands have written into the working tree.

`dvc exp run -S` changes params.yaml and a search writes tune/best.yaml; tests that read the working
tree would pass or fail by what was run last. They read what is staged instead, which is what
would be committed; only code is taken from the working tree.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _exported() -> Path:
    """A folder with every file of git's index; the working tree where there is no git."""
    folder = Path(tempfile.mkdtemp(prefix="shipped-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = ("git", "checkout-index", "--all", "--quiet", f"--prefix={folder}/")
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return ROOT
    return folder


SHIPPED = _exported()
STUDY_NAMES = sorted(path.stem for path in (SHIPPED / "studies").glob("*.yaml"))
PRESETS = sorted(path.stem for path in (SHIPPED / "conf").glob("*.yaml")) + STUDY_NAMES
