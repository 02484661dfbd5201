"""What a path contains about a clip."""

from dataclasses import dataclass

from conventions.emotions import StyleKind


@dataclass(frozen=True, slots=True)
class Name:
    """Identity and labels of one clip, as a data set's file names state them.

    Examples:
        >>> Name("M030", "happy", "basic", 3, number=1).id
        'M030_front_happy_3_001'
    """

    actor: str
    """Name of the actor, unique in the data set."""
    emotion: str | None = None
    """One of `conventions.emotions.EMOTIONS`, the name of an extra style, or None where the data set has no labels."""
    kind: StyleKind | None = None
    """`basic` for one of the eight emotions, `compound` or `new` for extra styles; None without a label."""
    level: int | None = None
    """1..3; neutral has 1 only; None where the data set has no levels."""
    view: str = "front"
    """The camera."""
    number: int = 0
    """Number of the take; it does not identify the sentence."""
    clip: str | None = None
    """The clip's id in data sets whose labels do not identify it."""

    @property
    def id(self) -> str:
        """`M030_front_happy_3_001`: the clip's name in catalogues, stores and tables."""
        return self.clip or f"{self.actor}_{self.view}_{self.emotion}_{self.level}_{self.number:03d}"

    @property
    def speech(self) -> tuple[str | int | None, ...]:
        """What an audio file shares with the videos of all views."""
        return self.clip, self.actor, self.emotion, self.level, self.number
