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

    @property
    def id(self) -> str:
        """`M030_front_happy_3_001`: the clip's name in catalogues, stores and tables."""
        return f"{self.actor}_{self.view}_{self.emotion}_{self.level}_{self.number:03d}"
