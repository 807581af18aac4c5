"""params.yaml as typed, validated, frozen models: the one place that says what may be tuned.

Everything is checked before any work starts: types (no silent conversions), ranges, unknown
keys, and what one key demands of another. Units are beside the fields.
"""

from src.config.data import Audit, Data
from src.config.head import Head
from src.config.literature import Claim, LiteratureStudy
from src.config.params import BEST, BEST_NAME, PARAMS, Params, load_params
from src.config.section import Count, Policy, Section, read_yaml, validate
from src.config.tracking import Tracking
from src.config.training import Augment, Engine, Experiment, Model, Recipe
from src.config.tune import SearchResult, Space, Tune
from src.config.weights import Imagenet, Pretrain, Scratch, Source, Weights, read_source

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
    "Imagenet",
    "LiteratureStudy",
    "Model",
    "Params",
    "Policy",
    "Pretrain",
    "Recipe",
    "Scratch",
    "SearchResult",
    "Section",
    "Source",
    "Space",
    "Tracking",
    "Tune",
    "Weights",
    "load_params",
    "read_source",
    "read_yaml",
    "validate",
]
