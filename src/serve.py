"""`python -m src.serve`: the champion over HTTP, for this machine, with bounded requests."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from src.cli import parser, run
from src.config import PARAMS, load_params
from src.errors import TrackingError

SCRIPT = Path(__file__).parent / "tracking/guard.py"
HOST, PORT = "127.0.0.1", 5001  # `make ui` has 5000
EXAMPLES = """\
  python -m src.serve
  python -m src.serve --port 8080"""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the champion, the best model registered in MLflow, to this machine.

    POST images to /invocations as {"inputs": [...]}: JPEG, PNG, PNM, BMP or WebP files in base64,
    or pixels. docs/serving.md has an example. MLflow's server does the work; requests are bounded.
    """
    arguments = parser("src.serve", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--host", default=HOST, help=f"address to bind to ({HOST})")
    arguments.add_argument(
        "--port", type=int, default=PORT, help=f"port ({PORT}); 0 for a free one"
    )
    parsed = arguments.parse_args(argv)
    from src.announcing import listener
    from src.tracking.champion import champion_of
    from src.tracking.store import project_root

    model = load_params(project_root() / PARAMS).tracking.model
    champion = champion_of(model)
    folder = champion.path.parents[1]
    if not (folder / "MLmodel").is_file():
        serve = f"mlflow models serve -m models:/{model}@champion --env-manager local"
        mend = f"run `{serve} --host {parsed.host} --port {parsed.port}`"
        raise TrackingError(champion.name, "its files are on a server", mend)
    bound = listener(parsed.host, parsed.port)
    bound.set_inheritable(True)
    command = [sys.executable, "-P", str(SCRIPT), str(folder), str(bound.fileno())]
    print(f"answered by {champion.name}", file=sys.stderr, flush=True)
    os.execv(sys.executable, command)  # noqa: S606


if __name__ == "__main__":
    run(main)
