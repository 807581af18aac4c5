"""A fold whose network is trained is not trained again, whatever goes wrong after that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from src.config import Experiment, Params
from src.crossvalidate.folds import make_folds
from src.crossvalidate.result import FoldResult
from src.crossvalidate.training import train_folds
from src.data.faceset import FaceSet
from src.models.weights import random_weights
from src.training import checkpoint, loop
from src.training.job import StartingPoint

NAME = "ModelA"


@pytest.fixture
def quick(params: Params) -> Params:
    entry = Experiment(train=("head", "conv5_x"), batch_size=8, epochs=1)
    engine = params.engine.model_copy(update={"device": "cpu", "precision": "float32"})
    return params.model_copy(update={"experiments": {NAME: entry}, "engine": engine})


def test_a_fold_stopped_before_its_result_is_kept_is_not_trained_again(
    rendered: FaceSet, quick: Params, tmp_path: Path
) -> None:
    start = StartingPoint(rendered, random_weights("resnet18", 1), "faces", "source")
    folds: Sequence[FaceSet] = make_folds(rendered, 3, quick)[:1]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
        patch.setattr(FoldResult, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            [*train_folds(NAME, quick, start, folds, tmp_path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_epoch", lambda *_: pytest.fail("an epoch is trained again"))
        ((result, _),) = train_folds(NAME, quick, start, folds, tmp_path)
    assert [epoch.number for epoch in result.history] == [1]
    assert not [*tmp_path.glob("*.checkpoint")]
    ((kept, trained),) = train_folds(NAME, quick, start, folds, tmp_path)
    assert (kept.correct, trained) == (result.correct, False)
