"""The stages of dvc.yaml, and which files are code that they have to declare."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import yaml

from src.closure import ROOT


def stages(file: Path) -> dict[str, Any]:
    declared: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in declared.items()}


def is_code(path: Path) -> bool:
    """Whether a file has more to it than a docstring."""
    statements = ast.parse((ROOT / path).read_bytes()).body
    return any(not isinstance(node, ast.Expr) for node in statements)
