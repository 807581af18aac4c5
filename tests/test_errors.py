"""No error shows a credential, however its URL is written; what torch refuses is explained."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch

from src.cli import run
from src.errors import ConfigError, TrackingError, has_password, redacted

SECRET = "hunter2"  # noqa: S105 -- a canary
URLS = {
    "http://ann:hunter2@127.0.0.1:5000/path": "http://ann:***@127.0.0.1:5000/path",
    "postgresql://ann:hunter2@db/runs": "postgresql://ann:***@db/runs",
    "postgresql+psycopg://ann:p@hunter2@db/runs": "postgresql+psycopg://ann:***@db/runs",
    "postgresql://ann:p/hunter2@db/runs": "postgresql://ann:***@db/runs",
    "postgresql://ann:12/hunter2@db/runs": "postgresql://ann:***@db/runs",
    "https://hunter2@example.org/x": "https://***@example.org/x",
    "postgresql://ann@db/runs?password=hunter2": "postgresql://ann@db/runs?password=***",
    "postgresql://db/runs?sslpassword=hunter2&user=ann": "postgresql://db/runs?sslpassword=***",
    "host=db password=hunter2 user=ann": "host=db password=*** user=ann",
    "connect to 'http://ann:hunter2@h:1' (x)": "connect to 'http://ann:***@h:1' (x)",
}
HARMLESS = (
    "https://example.org/weights@v2: no such file",
    "sqlite:////home/ann@work/mlruns/mlflow.db",
    "models:/face-classifier@champion",
)


@pytest.mark.parametrize(("written", "shown"), URLS.items())
def test_an_error_shows_where_it_is_but_no_password(written: str, shown: str) -> None:
    error = TrackingError(written, f"cannot open {written}", "correct it")
    assert SECRET not in f"{error!r} {error.where} {error.what}"
    if "@db/runs?password" not in shown:
        assert redacted(written) == shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_holds_no_credential_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("text", [*HARMLESS, "postgresql://ann@db/runs", "postgresql://db/runs"])
def test_a_user_name_is_no_password(text: str) -> None:
    assert not has_password(text)


@pytest.mark.parametrize("text", [url for url in URLS if "://hunter2@" not in url])
def test_a_password_is_found_however_it_is_written(text: str) -> None:
    assert has_password(text)


def test_an_error_of_another_process_is_the_same_here() -> None:
    error = ConfigError("a file", "is wrong", "mend it")
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    assert type(found) is ConfigError and str(found) == str(error) and found.mend == "mend it"


def test_a_batch_too_small_for_batch_statistics_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of one image that a block leaves one pixel, as torch refuses it."""

    def train(_: Sequence[str] | None) -> None:
        torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))

    with pytest.raises(SystemExit, match="2"):
        run(train)
    printed = capsys.readouterr()
    assert printed.err.startswith("error: params.yaml: a batch has one image, and a block leaves")
    assert printed.err.endswith("change batch_size, data.image_size or model.stem\n")


def test_any_other_value_error_keeps_its_traceback() -> None:
    def fail(_: Sequence[str] | None) -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="ours"):
        run(fail)


def test_a_traceback_shows_no_password() -> None:
    program = "from src import cli\ndef main(argv): raise ValueError(argv[0])\n"
    url = f"http://ann:{SECRET}@127.0.0.1:9"
    program += f"cli.run(main, [chr(58).join({url.split(':')!r})])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ValueError: http://ann:***@127.0.0.1:9" in done.stderr
    assert SECRET not in done.stderr.replace("cli.run(", "").split("ValueError")[1]
