"""Schedules against torch's own, step by step."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from src.config import Recipe
from src.training.schedules import factor

STEPS, EPOCHS = 7, 6


def rates(make: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)  # type: ignore[operator]
    found = []
    for _ in range(STEPS * EPOCHS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1)),
        ("onecycle", lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=STEPS * EPOCHS)),
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS * EPOCHS)),
        ("exponential", lambda o: lr_scheduler.LambdaLR(o, lambda s: 0.5 ** (s // STEPS))),
        ("step", lambda o: lr_scheduler.StepLR(o, STEPS * EPOCHS // 3, gamma=0.5)),
    ],
)
def test_schedule_agrees_with_torch(recipe: Recipe, schedule: str, make: object) -> None:
    own = recipe.model_copy(update={"schedule": schedule, "decay": 0.5})
    found = [factor(own, step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]
    assert found == pytest.approx(rates(make), rel=1e-6, abs=1e-9)


def test_warm_up_rises_in_a_line_to_the_full_rate(recipe: Recipe) -> None:
    own = recipe.model_copy(update={"schedule": "cosine", "warmup_epochs": 1.0})
    found = [factor(own, step, STEPS, EPOCHS) for step in range(STEPS + 1)]
    assert found == pytest.approx([(s + 1) / STEPS for s in range(STEPS)] + [1.0])
