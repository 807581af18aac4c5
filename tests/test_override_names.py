"""Every name that params.yaml may give a recipe or experiment can be set by `dvc exp run -S`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dvc.utils.hydra import apply_overrides
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from src.config.section import Key
from src.config.yaml_file import read_yaml

KEYS = TypeAdapter(Key)


def is_key(name: str) -> bool:
    try:
        KEYS.validate_python(name)
    except ValidationError:
        return False
    return True


@given(st.text("aZ09-_.", min_size=1, max_size=6))
@example("null")
@example("ModelD-256-128-dropout")
@example("1-scratch")
def test_a_name_that_is_allowed_can_be_set_by_dvc(name: str) -> None:
    if not is_key(name):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(f'experiments: {{"{name}": {{epochs: 1}}}}\n')
        apply_overrides(path, [f"experiments.{name}.epochs=2"])
        assert read_yaml(path) == {"experiments": {name: {"epochs": 2}}}


def test_a_name_that_dvc_cannot_set_is_refused() -> None:
    assert not any(map(is_key, ("1-scratch", "a.b", "-a", "", "a b", "é")))
