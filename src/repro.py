"""Running `dvc repro` from a command, so that what the command reads is up to date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from src.errors import StaleInputError


def repro(*targets: str, show: bool = False) -> None:
    """Run `dvc repro` on `targets`; its output is shown only if it fails.

    That may take minutes, so a line says what runs. With `show`, what the stages print is shown as
    they run. Raises StaleInputError if a stage fails.
    """
    command = f"`dvc repro {' '.join(targets)}`"
    if not show:
        print(f"{command} makes what is out of date", file=sys.stderr)
    # Stages call `python`: it has to be this one, whether or not its environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
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
