"""What a toy world consists of, before any of it is made: actors by role, clips, portraits, images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from conventions.emotions import STYLES
from datamodules.splits import ROLES, Role, Split
from toyworld import rng_of
from toyworld.emotions import UNSEEN_LEVEL, UNSEEN_STYLES
from toyworld.lexicon import lexicon

VERSION = "toy-mead-4"
"""Raised whenever the making of any file of a toy world changes."""


@dataclass(frozen=True)
class Preset:
    """The size of a world: actors by role, number of clips by kind, captioned images by role."""

    actors: Mapping[str, int]
    neutral_clips: int
    all_levels: frozenset[str]
    """Roles whose actors show all 22 styles; the others show each emotion at level 2 (neutral: 1) only."""
    unseen_styles: tuple[str, ...]
    """The compound and new styles that test actors show."""
    short_sentences: bool
    people: Mapping[str, int]
    portraits: int
    video_size: int
    """Side of the square videos in pixels, where no other is asked for."""


DEFAULT = Preset(
    actors={"train": 24, "val": 6, "test": 6, "judge": 6},
    neutral_clips=2,
    all_levels=frozenset(ROLES),
    unseen_styles=UNSEEN_STYLES,
    short_sentences=False,
    people={"prior": 280, "judge": 120, "critic": 80},
    portraits=4,
    video_size=160,
)

PRESETS: Mapping[str, Preset] = {
    "default": DEFAULT,
    "small": replace(DEFAULT, actors={"train": 7, "val": 1, "test": 3, "judge": 5}),
    "tiny": Preset(
        actors={"train": 2, "val": 1, "test": 1, "judge": 2},
        neutral_clips=1,
        all_levels=frozenset({"train"}),
        unseen_styles=("happily_surprised", "sadly_angry", "awed", "pained", "confused", "proud"),
        short_sentences=True,
        people={"prior": 10, "judge": 8, "critic": 6},
        portraits=2,
        video_size=96,
    ),
}

PORTRAIT_NAMES = ("W101", "M101", "W102", "M102")
"""People of the portraits; they are in no clip and in no captioned image."""


@dataclass(frozen=True)
class ClipSpec:
    """One clip: who says what and how; its paths are MEAD's."""

    actor: str
    emotion: str
    level: int
    number: int
    text: str

    @property
    def video(self) -> Path:
        """`<ID>/video/front/<emotion>/level_<k>/<NNN>.mp4`, under the world's root."""
        folder = Path(self.actor, "video", "front", self.emotion, f"level_{self.level}")
        return folder / f"{self.number:03d}.mp4"

    @property
    def audio(self) -> Path:
        """`<ID>/audio/<emotion>/level_<k>/<NNN>.m4a`, under the world's root."""
        return Path(self.actor, "audio", self.emotion, f"level_{self.level}", f"{self.number:03d}.m4a")


def actors_of(preset: str) -> dict[str, Role]:
    """Each actor's role in that preset's world: the first actors of each role of the split `toy`."""
    counts, split = PRESETS[preset].actors, Split.load("toy")
    return {actor: role for role in ROLES for actor in split.actors[role][: counts[role]]}


def _spec(actor: str, emotion: str, level: int, number: int, seed: int, short: bool) -> ClipSpec:
    sentences = lexicon().short_sentences if short else lexicon().sentences
    index = rng_of(seed, "text", actor, emotion, level, number).integers(len(sentences))
    return ClipSpec(actor, emotion, level, number, sentences[int(index)])


def _styles(numbers: Preset, role: str) -> list[tuple[str, int]]:
    """(emotion, level) of an actor's clips by its role."""
    levels = {1, 2, 3} if role in numbers.all_levels else {2}
    styles = [(s.emotion, s.level) for s in STYLES if s.level in levels or s.emotion == "neutral"]
    return styles + [(emotion, UNSEEN_LEVEL) for emotion in numbers.unseen_styles if role == "test"]


def clips_of(preset: str, seed: int) -> list[ClipSpec]:
    """Every clip of the world, actor by actor: MEAD's styles, and for test actors compound and new ones."""
    numbers, found = PRESETS[preset], []
    for actor, role in actors_of(preset).items():
        for emotion, level in _styles(numbers, role):
            count = numbers.neutral_clips if emotion == "neutral" else 1
            for number in range(1, count + 1):
                found.append(_spec(actor, emotion, level, number, seed, numbers.short_sentences))
    return found
