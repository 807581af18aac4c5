"""What takes a served model longer than MLflow would wait is still answered, by the real server."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.pyfunc import save_model

from src.serve import SCRIPT

SLOW = """
import time
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class Slow(PythonModel):
    def predict(self, context, model_input):
        time.sleep(2)
        return ["answered"]


set_model(Slow())
"""


@pytest.mark.faults
def test_an_answer_that_takes_longer_than_mlflow_waits_is_sent(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    save_model(tmp_path / "model", python_model=str(tmp_path / "slow.py"), pip_requirements=[])
    with socket.create_server(("127.0.0.1", 0)) as bound:
        process = subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(tmp_path / "model"), str(bound.fileno())],
            env={**os.environ, "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "1"},
            pass_fds=[bound.fileno()],
        )
        try:
            connection = http.client.HTTPConnection(*bound.getsockname(), timeout=120)
            body, kind = '{"inputs": ["x"]}', {"Content-Type": "application/json"}
            connection.request("POST", "/invocations", body, kind)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"predictions": ["answered"]}')
        finally:
            process.kill()
            process.wait()
