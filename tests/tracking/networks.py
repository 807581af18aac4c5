"""Networks that nobody trained, for the gate and the store, and images to compare them on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from src.data.faceset import FaceSet
from src.files import digest
from src.models.network import Network, load_state, save_network
from src.models.threshold import Threshold
from src.tracking.comparison import HIGHER
from src.tracking.registry import Promotion, promote
from tests.tracking.finished import A, finish_run
from tests.tracking.projects import MODEL, Project


def answering(
    project: Project,
    name: str,
    subject: int,
    model: str = MODEL,
    gate: str = HIGHER,
    last: str = "",
    strangers: bool = False,
    **spec_changes: Any,
) -> Promotion:
    """Promote a network that gives the same answer to every image, perhaps of fewer blocks."""
    spec = replace(load_state(project.model)[1], last=last or None, **spec_changes)
    state = Network(spec).state_dict()
    state[list(state)[-1]] = 1e6 * torch.eye(len(spec.subjects))[subject]
    path = Path(f"models/{name}.safetensors")
    save_network(path, state, spec)
    record = project.record.with_name(f"{name}.json")
    finish_run(replace(project, model=path), record, A)
    threshold = Path("data/threshold.safetensors") if strangers else None
    if threshold:
        Threshold.nothing(digest(path), name, far=0.1).save(threshold)
    return promote(record, 0.5, model, threshold, gate)


def validate_on(project: Project, *counts: int) -> None:
    """Pack a dataset with so many validation images of each subject, and two to train on."""
    labels = torch.tensor([0, 1, *(n for n, many in enumerate(counts) for _ in range(many))])
    split = torch.tensor([0, 0, *[1] * sum(counts)], dtype=torch.uint8)
    images = torch.zeros(len(labels), 3, 32, 32, dtype=torch.uint8)
    FaceSet(images, labels, split, FaceSet.load(project.faces).subjects).save(project.faces)


def new_version(project: Project, subjects: tuple[str, ...] | None = None, size: int = 32) -> None:
    """Pack other images as the dataset."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (30, 3, size, size), generator=generator, dtype=torch.uint8)
    labels, split = torch.arange(30) % 3, torch.tensor([0, 1], dtype=torch.uint8).repeat(15)
    FaceSet(images, labels, split, subjects or FaceSet.load(project.faces).subjects).save(
        project.faces
    )


def another_network(project: Project, name: str) -> Path:
    """The record of a run whose network is another."""
    state, spec = load_state(project.model)
    changed = Path(f"models/{name}.safetensors")
    last = list(state)[-1]
    save_network(changed, {**state, last: state[last] + 1}, spec)
    path = Path(f"runs/{name}.json")
    finish_run(Project(project.root, model=changed), path)
    return path
