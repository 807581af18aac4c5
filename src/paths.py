"""The files that the stages write and read, relative to the folder of params.yaml.

The stages in pipelines/, the commands in src/ and the benchmarks all take the names from here.
dvc.yaml has to repeat them, and `tests/pipelines/test_paths.py` checks that both agree. What a
search writes, `tune/best.yaml`, is `src.config.BEST`: whatever reads params.yaml reads it too.
"""

from pathlib import Path

FACES = Path("data/faces.safetensors")
MANIFEST = Path("data/manifest.csv")
AUDIT = Path("data/audit.json")
CONTACT_SHEET = Path("data/contact_sheet.png")
MODELS = Path("models")
SOURCE = MODELS / "source.safetensors"
FEATURES = Path("data/features.safetensors")
STRANGERS = Path("data/strangers.safetensors")
THRESHOLD = Path("data/threshold.safetensors")
UNKNOWN_METRICS = Path("metrics/unknown.json")
TEST_METRICS = Path("metrics/test.json")
PREDICTIONS = Path("data/predictions.safetensors")
LEARNING = Path("plots/learning.csv")
REPORT_PAGE = Path("reports/index.html")
REPORT_TEXT = Path("reports/results.md")
MODEL_CARD = Path("reports/model_card.md")
DATASET_CARD = Path("reports/dataset_card.md")
SUMMARY = Path("reports/summary.json")
LABELS = Path("reports/labels.json")
RUNS = Path("runs")
REGISTERED = Path("metrics/registered.json")
SCRATCH = Path(".cache")


def shipped_weights(backbone: str) -> Path:
    """The source weights of a backbone that come with the project."""
    return Path("weights") / f"{backbone}.safetensors"


def model(name: str) -> Path:
    """The trained network of one experiment."""
    return MODELS / f"{name}.safetensors"


def seed_models(name: str) -> Path:
    """The networks of one experiment's further seeds, as differences from the first's."""
    return MODELS / "seeds" / f"{name}.safetensors"


def train_metrics(name: str) -> Path:
    """Final training and validation metrics of one experiment."""
    return Path("metrics/train") / f"{name}.json"


def curves(name: str) -> Path:
    """Metrics per epoch of one experiment."""
    return Path("plots/curves") / f"{name}.csv"


def weight_change(name: str) -> Path:
    """How far each parameter of one experiment moved."""
    return Path("plots/weight_change") / f"{name}.csv"


def confusion(name: str) -> Path:
    """Actual and predicted subject of every test image, for one experiment."""
    return Path("plots/confusion") / f"{name}.csv"


def evaluation(name: str) -> Path:
    """Folder of figures and tables of one experiment's test result."""
    return Path("plots/test") / name


def evaluated_model(name: str) -> Path:
    """The md5 of the model file that the files in `evaluation(name)` were made from."""
    return evaluation(name) / "model.md5"


def strangers_figure(name: str) -> Path:
    """What the threshold does to test images and strangers; only of the best on validation."""
    return evaluation(name) / "strangers.png"


def seed_scores(name: str) -> Path:
    """Test scores of each of one experiment's seeds, for their MLflow runs; none with one seed."""
    return evaluation(name) / "seeds.json"


def chart(name: str) -> Path:
    """One of the report's charts as an image file."""
    return Path("reports/charts") / f"{name}.png"


def run_record(name: str) -> Path:
    """What is needed to find or rebuild one experiment's MLflow run."""
    return RUNS / f"{name}.json"


def layers(name: str) -> Path:
    """The layer table of one experiment."""
    return Path("reports/layers") / f"{name}.txt"
