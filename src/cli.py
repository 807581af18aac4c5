"""What every command shares: one-line errors, exit codes and a help page with examples."""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from src.errors import UserError

Main = Callable[[Sequence[str] | None], int | None]


def parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """An argument parser whose help ends in `examples`, printed as written."""
    return argparse.ArgumentParser(
        prog=f"python -m {prog}",
        description=inspect.cleandoc(description),
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(main: Main, argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 the user's mistake (one line), 130 stopped.

    SIGTERM is treated as Ctrl-C, so that open MLflow runs are closed on either.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main(argv) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
