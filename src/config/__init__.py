"""params.yaml as typed, validated, frozen models: the one definition of every setting.

Everything is checked before any work starts: types (without silent conversion), ranges, unknown
keys, and keys that depend on each other. `python -m src.reference` writes docs/configuration.md
from these models.
"""

from src.config.data import Audit, Data
from src.config.head import Head
from src.config.literature import Claim, LiteratureStudy
from src.config.params import BEST, BEST_NAME, PARAMS, Params, load_params, training_stage
from src.config.section import Count, Policy, Section, validate
from src.config.tracking import Tracking
from src.config.training import Augment, Engine, Experiment, Model, Recipe
from src.config.tune import SearchResult, Space, Tune
from src.config.unknown import Unknown
from src.config.weights import SourceTask, Weights
from src.config.yaml_file import read_yaml

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
    "LiteratureStudy",
    "Model",
    "Params",
    "Policy",
    "Recipe",
    "SearchResult",
    "Section",
    "SourceTask",
    "Space",
    "Tracking",
    "Tune",
    "Unknown",
    "Weights",
    "load_params",
    "read_yaml",
    "training_stage",
    "validate",
]
