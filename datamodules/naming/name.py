"""What a path says about a clip."""

from dataclasses import dataclass

from conventions.emotions import StyleKind


@dataclass(frozen=True, slots=True)
class Name:
    """Labels of one clip as its path spells them."""

    actor: str
    emotion: str
    """One of `conventions.emotions.EMOTIONS` or the name of an extra style."""
    kind: StyleKind
    level: int
    """1..3; neutral has 1 only."""
    view: str
    number: int
    """Number of the take; it does not identify the sentence."""
