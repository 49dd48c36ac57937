"""What the classification says about one image.

Not here: how it comes to that (``engine``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

_NO_ENTITIES: Mapping[str, str] = MappingProxyType({})


class Confidence(Enum):
    """How sure a decision is; the order of the members is from most to least."""

    GIVEN = "given"
    """A person said so, in the project's map or in a name of BIDS's form."""
    NAMED = "named"
    """The scanner says so: a word of its own for exactly this kind of image."""
    MEASURED = "measured"
    """It follows from how the image was measured."""
    GUESSED = "guessed"
    """Nothing else fits, and a word in a free text or the converter's guess says so."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What an image is, or why nobody can say.

    Attributes
    ----------
    data_type, suffix : str
        BIDS's terms; both empty where the image is left out.
    reason : str
        A sentence without identity.
    rule : str
        Name of the rule that decided.
    entities : Mapping[str, str]
        Those that belong to the decision, by their key in file names.
    """

    data_type: str
    suffix: str
    confidence: Confidence
    rule: str
    reason: str
    entities: Mapping[str, str] = field(default_factory=lambda: _NO_ENTITIES)

    @property
    def is_left_out(self) -> bool:
        """Tell whether the image has no place."""
        return not self.suffix

    @property
    def kind(self) -> str:
        """Return ``data_type/suffix``, or ``exclude``."""
        return f"{self.data_type}/{self.suffix}" if self.suffix else "exclude"


def left_out(rule: str, reason: str, confidence: Confidence = Confidence.NAMED) -> Decision:
    """Return the decision to leave an image out."""
    return Decision("", "", confidence, rule, reason)
