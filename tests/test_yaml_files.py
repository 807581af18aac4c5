"""Whatever is in a YAML file, it is read or refused on one line, at once and in little memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from src.config import BEST, PARAMS, load_params, read_yaml
from src.config.presets import CONF, STUDIES, read_preset
from src.config.weights import read_weights_origin
from src.data.origins import open_origin
from src.errors import ConfigError
from tests.data.conftest import settings
from tests.hostile_yaml import BOMB, HOSTILE
from tests.shipped import SHIPPED

READERS: dict[str, tuple[Path, Callable[[Path], object]]] = {
    "settings": (PARAMS, lambda root: load_params(root / PARAMS)),
    "preset": (CONF / "mine.yaml", lambda root: read_preset("mine", root)),
    "study": (STUDIES / "mine.yaml", lambda root: read_preset("mine", root)),
    "search": (BEST, lambda root: load_params(with_settings(root))),
    "images": (Path("data/mine.yaml"), lambda root: open_origin(settings(root / "data/mine.yaml"))),
    "weights": (
        Path("weights/mine.yaml"),
        lambda root: read_weights_origin(root / "weights/mine.yaml"),
    ),
}
COMMAND = """
import sys
from src import cli
from src.config import load_params
cli.run(lambda argv: print(load_params()))
"""


def with_settings(root: Path) -> Path:
    (root / PARAMS).write_bytes((SHIPPED / PARAMS).read_bytes())
    return root / PARAMS


def written(root: Path, reader: str, text: str) -> Path:
    path = root / READERS[reader][0]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", HOSTILE)
def test_settings_that_cost_too_much_or_are_none_are_refused_at_once(
    tmp_path: Path, case: str
) -> None:
    text, said = HOSTILE[case]
    path = written(tmp_path, "settings", text)
    started = time.process_time()
    with pytest.raises(ConfigError, match=rf"{path.name}.*{said}" if said else None) as caught:
        load_params(path)
    assert time.process_time() - started < 3
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 7000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", ["a day that there is not", "aliases of aliases", "deep lists"])
def test_every_file_of_settings_is_read_with_the_same_care(
    tmp_path: Path, reader: str, case: str
) -> None:
    text, said = HOSTILE[case]
    path = written(tmp_path, reader, text)
    with pytest.raises(ConfigError, match=rf"{path.name}{said}"):
        READERS[reader][1](tmp_path)


@pytest.mark.parametrize("reader", ["settings", "search", "images", "weights"])
def test_what_is_no_file_is_refused(tmp_path: Path, reader: str) -> None:
    path = written(tmp_path, reader, "")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a file"):
        READERS[reader][1](tmp_path)
    path.unlink()
    path.mkdir()
    if reader != "images":  # where it is a folder of images
        with pytest.raises(ConfigError, match="not a file"):
            READERS[reader][1](tmp_path)


def test_a_byte_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / PARAMS).write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"params\.yaml:2: not a text file in UTF-8"):
        load_params(tmp_path / PARAMS)


def test_aliases_and_merges_are_taken_as_dvc_takes_them(tmp_path: Path) -> None:
    text = (
        "a: &a {x: [1, 1e-3], y: yes}\nb: *a\nc: {<<: *a, y: 0o17, z: !!str 5}\nd: '2020-01-01'\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    from dvc.utils.serialize import load_yaml

    assert read_yaml(tmp_path / "a.yaml") == load_yaml(str(tmp_path / "a.yaml"))
    assert read_yaml(tmp_path / "a.yaml")["c"] == {"x": [1, 0.001], "y": 15, "z": "5"}


def test_a_command_ends_on_one_line_in_little_memory(tmp_path: Path) -> None:
    written(tmp_path, "settings", BOMB)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml:") and done.stderr.count("\n") == 1


def test_an_origin_of_an_endless_name_is_refused_on_one_line() -> None:
    from pipelines.weights import source_of
    from src.errors import OriginError, WeightsError

    with pytest.raises(OriginError, match="no such file"):
        open_origin(settings("a" * 5000))
    params = load_params(SHIPPED / PARAMS)
    for name in ("a" * 5000, "a" * 5000 + "/b", "a\0b"):
        weights = params.weights.model_copy(update={"origin": name})
        with pytest.raises(WeightsError, match="no such file"):
            source_of(params.model_copy(update={"weights": weights}))
