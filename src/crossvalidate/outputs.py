"""The files of a cross-validation, relative to the folder of params.yaml.

They are not in `src.paths`, since dvc.yaml does not name them: the stage that writes them is in a
DVC file of its own.
"""

from pathlib import Path

FOLDER = Path("crossvalidation")
PIPELINE = FOLDER / "dvc.yaml"
PREDICTIONS = FOLDER / "predictions.safetensors"
METRICS = FOLDER / "metrics.json"
TABLE = FOLDER / "results.md"
FIGURE = FOLDER / "accuracy.png"
