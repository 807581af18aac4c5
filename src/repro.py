"""Running `dvc repro` from a command, so that what the command reads is up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from src.errors import StaleInputError
from src.progress import working


def repro(*targets: str, show: bool = False) -> None:
    """Run `dvc repro` on `targets`; its output is shown only if it fails.

    That may take minutes, so it says what runs. With `show`, what the stages print is shown as they
    run. Raises StaleInputError if a stage fails.
    """
    command = f"`dvc repro {' '.join(targets)}`"
    # Stages call `python`: it has to be this one, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with nullcontext() if show else working(f"{command} makes what is out of date"):
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "dvc", "repro", *(["--quiet"] if show else []), *targets],
            env={**os.environ, "PATH": path},
            capture_output=not show,
            text=True,
            check=False,
        )
    if done.returncode:
        if not show:
            print(done.stdout + done.stderr, file=sys.stderr)
        raise StaleInputError(command, "failed", "see above, or run it to see what DVC says")
