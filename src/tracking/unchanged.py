"""Whether model files are still those that their stage wrote, by the md5s that it recorded.

An altered network of the right shape would be scored like any other. The record of the run knows
the first seed's file; the further seeds' is in dvc.lock alone, which counts only while it speaks of
that same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src import paths
from src.config import training_stage
from src.errors import StaleInputError
from src.files import digest
from src.tracking.record import RunRecord


def check_unchanged(*names: str, further: bool = True, root: Path = Path()) -> None:
    """Raise StaleInputError if a model file of these experiments is not the one recorded.

    further: whether those of further seeds are checked, too. Reading dvc.lock for them takes a
    second. root: the project's folder.
    """
    locked = _locked(root / "dvc.lock") if further else {}
    for name in names:
        _check(name, locked, root)


def _check(name: str, locked: Mapping[str, str | None], root: Path) -> None:
    model, further, record = paths.model(name), paths.seed_models(name), paths.run_record(name)
    if not ((root / model).is_file() and (root / record).is_file()):
        return
    known, found = RunRecord.read(root / record).model, digest(root / model)
    if known and known.md5 != found:
        raise _changed(model, name)
    if locked.get(model.as_posix()) != found or not (root / further).is_file():
        return
    if locked.get(further.as_posix()) not in (None, digest(root / further)):
        raise _changed(further, name)


def _changed(path: Path, name: str) -> StaleInputError:
    mend = f"run `dvc checkout {path.as_posix()}`, or `dvc repro {training_stage(name)}`"
    return StaleInputError(path.as_posix(), "changed since its training wrote it", mend)


def _locked(lock: Path) -> dict[str, str | None]:
    """The md5 of every output in dvc.lock; none where there is no such file."""
    try:
        stages = YAML(typ="safe").load(lock.read_text("utf-8"))["stages"].values()
        return {out["path"]: out.get("md5") for stage in stages for out in stage.get("outs", ())}
    except (OSError, ValueError, YAMLError, KeyError, TypeError, AttributeError):
        return {}
