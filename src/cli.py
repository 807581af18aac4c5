"""What every command shares: one-line errors, exit codes, `--version` and help with examples."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from src import stopping
from src.errors import UserError, lone_value, redacted, shortage
from src.files import refusal, sweep

PROJECT = "face-finetune"
Main = Callable[[Sequence[str] | None], int | None]


def parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """An argument parser with `--version`, whose help ends in `examples`, printed as written."""
    made = argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=inspect.cleandoc(description),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action=_ShowVersion, help="show the version and exit")
    return made


class _ShowVersion(argparse.Action):
    """argparse's own action, except that the version is looked up only when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and exit."""
        print(PROJECT, version())
        parser.exit()


def version() -> str:
    """The installed version, or that of pyproject.toml where only the source tree is there."""
    from importlib import metadata

    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        import tomllib

        project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
        return str(project["project"]["version"])


def _show(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print a traceback without credentials, which libraries put into the messages of errors."""
    lines = traceback.format_exception(kind, error, trace)
    print(redacted("".join(lines)), file=sys.stderr, end="")


def run(main: Main, argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 for success, 2 for a user's mistake, 130 if interrupted.

    SIGTERM is treated as Ctrl-C; `src.stopping` says how either ends the command.
    """
    stopping.listen()
    sys.excepthook = _show
    threading.excepthook = lambda it: _show(it.exc_type, it.exc_value, it.exc_traceback)
    sweep()
    try:
        with stopping.interruptible():
            code = main(argv) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        stopping.end()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        if (refused := shortage(error) or refusal(error) or lone_value(error)) is None:
            raise
        print(f"error: {refused}", file=sys.stderr)
        code = 2
    sys.exit(code)
