"""Settings of strangers: faces of people who are not among the subjects."""

from __future__ import annotations

from src.config.data import OriginPath
from src.config.section import Fraction, Probability, Section


class Unknown(Section):
    """Strangers, whom the champion should not give a subject's name."""

    origin: OriginPath = "data/nobody.yaml"
    """An origin of faces of others, laid out like `data.origin`; data/nobody.yaml for none, since
    DVC cannot depend on `null`. Rendered faces are strangers to rendered faces alone: to photos,
    they would be far too easy to tell apart."""
    held_out: Probability = 0.0
    """Share of the dataset's own subjects kept out of it as strangers, if `origin` gives none."""
    far: Fraction = 0.1
    """The accepted false-accept rate: the share of strangers' images that may be named."""
