"""params.yaml as typed, validated, frozen models: the one place that says what may be tuned.

Everything is checked before any work starts: types (no silent conversions), ranges, unknown
keys, and what one key demands of another. Units are beside the fields.
"""

from src.config.data import Audit, Data
from src.config.literature import Claim, LiteratureStudy
from src.config.origin_file import read_origin_file
from src.config.params import BEST, BEST_NAME, PARAMS, Params, load_params
from src.config.section import Count, Policy, Section, read_yaml, validate
from src.config.tracking import Tracking
from src.config.training import Augment, Engine, Experiment, Head, Model, Recipe
from src.config.tune import SearchResult, Space, Tune
from src.config.weights import (
    ImagenetWeights,
    RandomWeights,
    SourceTask,
    Weights,
    WeightsOrigin,
    read_weights_origin,
)

__all__ = [
    "BEST",
    "BEST_NAME",
    "PARAMS",
    "Audit",
    "Augment",
    "Claim",
    "Count",
    "Data",
    "Engine",
    "Experiment",
    "Head",
    "ImagenetWeights",
    "LiteratureStudy",
    "Model",
    "Params",
    "Policy",
    "RandomWeights",
    "Recipe",
    "SearchResult",
    "Section",
    "SourceTask",
    "Space",
    "Tracking",
    "Tune",
    "Weights",
    "WeightsOrigin",
    "load_params",
    "read_origin_file",
    "read_weights_origin",
    "read_yaml",
    "validate",
]
