"""What each training batch is made of: pure functions of (seed, step), so that any run can resume at any batch."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from datamodules.clips import Clips, StoredClip


def generator(seed: int, step: int, rank: int = 0) -> np.random.Generator:
    """The random numbers of batch `step`: the same on every call, independent of every other batch and rank."""
    return np.random.default_rng([0x3EAD, seed, step, rank])


@dataclass(frozen=True)
class Pair:
    """A source frame and a target frame of one actor."""

    source: StoredClip
    source_index: int
    target: StoredClip
    target_index: int


@runtime_checkable
class Sampler(Protocol):
    """Draws what a batch is made of; built once for all batches."""

    def draw(self, random: np.random.Generator, count: int) -> list[Any]:
        """Clips, or pairs of frames."""
        ...


class StyleBalanced:
    """Draws clips so that every style (emotion and level) is equally likely, then every clip within it."""

    def __init__(self, clips: Clips) -> None:
        self._clips, self._styles = clips, clips.groups("emotion", "level")

    def draw(self, random: np.random.Generator, count: int) -> list[StoredClip]:
        """`count` clips, drawn with replacement."""
        return [self._clips[place] for place in self.places(random, count)]

    def places(self, random: np.random.Generator, count: int) -> list[int]:
        """The places of `count` clips among all, drawn with replacement."""
        styles = random.integers(len(self._styles), size=count).tolist()
        return [self._styles.draw(random, style) for style in styles]


class SameActorPairs:
    """Draws (source, target) frames: the target style-balanced, the source from any clip of that actor and view."""

    def __init__(self, clips: Clips) -> None:
        self._clips, self._targets = clips, StyleBalanced(clips)
        self._people = clips.groups("actor", "view")

    def draw(self, random: np.random.Generator, count: int) -> list[Pair]:
        """`count` pairs; source and target may come from one clip."""
        return [self._pair(random, place) for place in self._targets.places(random, count)]

    def _pair(self, random: np.random.Generator, place: int) -> Pair:
        source = self._clips[self._people.draw(random, int(self._people.of[place]))]
        target = self._clips[place]
        return Pair(source, int(random.integers(source.length)), target, int(random.integers(target.length)))


def stretch(random: np.random.Generator, clip: StoredClip, frames: int) -> tuple[int, int]:
    """(first frame, number of frames) of a random stretch of at most `frames` frames."""
    length = min(frames, clip.length)
    return int(random.integers(clip.length - length + 1)), length
