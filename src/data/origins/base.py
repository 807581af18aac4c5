"""The registry of formats: origin files by their kind, archives by their suffix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from src.config import Data, Section
from src.data.entries import Origin

KINDS: dict[str, type[OriginFile]] = {}
OPENERS: dict[str, Callable[[Path, Data], Origin]] = {}  # by suffix, in lower case


class OriginFile(Section, ABC):
    """The keys of one kind of origin file: a YAML file that says how to make or find images.

    Subclasses are registered in KINDS under each value that the Literal of their `kind` allows.
    """

    kind: str
    """Which kind of origin file this is."""
    licence: str = ""
    """Licence or terms of use of the images, for the dataset's card."""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        KINDS.update(dict.fromkeys(get_args(cls.model_fields["kind"].annotation), cls))

    @abstractmethod
    def open(self, where: str, data: Data) -> Origin:
        """List the images, which `data.image_size` and `data.max_bytes` may concern.

        Raises OriginError, whose message starts with `where`, the path of the origin file.
        """
