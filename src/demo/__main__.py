"""`python -m src.demo`: a page for this machine that names faces and corrects labels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from src.cli import parser, run

HOST, PORT = "127.0.0.1", 5002  # `make ui` has 5000, `make serve` 5001
CONNECTIONS = 64  # further ones are sent away with status 503
EXAMPLES = """\
  python -m src.demo
  python -m src.demo --port 8080
  python -m src.demo --model models/ModelC.safetensors"""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve a page to this machine that says whose face a photo shows, and lists labels in doubt.

    The network is the champion, the best one registered in MLflow, unless --model names a file.
    Photos come from a file or the camera and are not kept. What is decided about labels is written
    to the file of data.corrections. docs/demo.md describes the page.
    """
    options = _arguments(argv)
    from src.config import PARAMS, load_params
    from src.prediction.loading import load_model
    from src.tracking.store import project_root

    project = project_root()
    data = load_params(project / PARAMS).data
    model = load_model(options.model)

    import uvicorn

    from src.announcing import AnnouncingServer, listener
    from src.demo.answers import Answers
    from src.demo.app import application
    from src.demo.doubts import Doubts

    bound = listener(HOST, options.port)
    port = bound.getsockname()[1]
    answers = Answers.of(model, project)
    app = application(answers, Doubts(project), data.max_bytes, port)
    config = uvicorn.Config(
        app, log_level="error", limit_concurrency=CONNECTIONS, server_header=False
    )
    print(f"answered by {model.name}", file=sys.stderr)
    line = f"open http://{HOST}:{port}; Ctrl-C ends it"
    AnnouncingServer(config, line).run(sockets=[bound])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    arguments = parser("src.demo", str(main.__doc__), EXAMPLES)
    arguments.add_argument(
        "--port", type=int, default=PORT, help=f"port ({PORT}); 0 for a free one"
    )
    what = "model file, or models:/NAME/VERSION; by default the champion"
    arguments.add_argument("--model", type=Path, help=what)
    return arguments.parse_args(argv)


if __name__ == "__main__":
    run(main)
