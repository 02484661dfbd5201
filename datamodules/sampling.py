"""What each training batch is made of: pure functions of (seed, step), so that any run can resume at any batch."""

from dataclasses import dataclass, replace
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


class Mixed:
    """Draws a share `unlabelled` of clips without emotion label, the others style-balanced."""

    def __init__(self, clips: Clips, unlabelled: float) -> None:
        self._share, self._styles = unlabelled, clips.groups("emotion", "level")
        lasts = self._styles.order[self._styles.ends - 1]
        labelled = np.array([clips[int(place)].emotion is not None for place in lasts])
        self._labelled, self._unlabelled = np.flatnonzero(labelled), np.flatnonzero(~labelled)

    def places(self, random: np.random.Generator, count: int) -> list[int]:
        """The places of `count` clips among all, drawn with replacement."""
        kinds = [self._unlabelled if draw < self._share else self._labelled for draw in random.random(count)]
        return [self._styles.draw(random, int(random.choice(kind))) for kind in kinds]


class SameActorPairs:
    """Draws (source, target) frames: the target style-balanced, the source from any clip of that actor and view.

    A share `unlabelled` of the targets has no emotion label, where there are clips of both kinds; with 0, such clips
    count as one style among the others. With `successive` n > 1, each of the `parts` in which a batch is worked
    through begins with groups of n pairs that have one source, and frames after one another as targets.
    """

    def __init__(self, clips: Clips, unlabelled: float = 0.0, successive: int = 1, parts: int = 1) -> None:
        without = len(clips.where(emotion=lambda name: name is None))
        mixed = unlabelled > 0 and 0 < without < len(clips)
        self._clips, self._targets = clips, Mixed(clips, unlabelled) if mixed else StyleBalanced(clips)
        self._people, self._successive, self._parts = clips.groups("actor", "view"), successive, parts

    def draw(self, random: np.random.Generator, count: int) -> list[Pair]:
        """`count` pairs; source and target may come from one clip."""
        if self._successive == 1:
            return self._pairs(random, count)
        groups, singles = divmod(count // self._parts, self._successive)
        firsts, others = (self._pairs(random, number * self._parts) for number in (groups, singles))
        drawn: list[Pair] = []
        for part in range(self._parts):
            for first in firsts[part * groups : (part + 1) * groups]:
                drawn += following(first, self._successive)
            drawn += others[part * singles : (part + 1) * singles]
        return drawn

    def _pairs(self, random: np.random.Generator, count: int) -> list[Pair]:
        return [self._pair(random, place) for place in self._targets.places(random, count)] if count else []

    def _pair(self, random: np.random.Generator, place: int) -> Pair:
        source = self._clips[self._people.draw(random, int(self._people.of[place]))]
        target = self._clips[place]
        return Pair(source, int(random.integers(source.length)), target, int(random.integers(target.length)))


def following(pair: Pair, count: int) -> list[Pair]:
    """`count` pairs whose targets follow each other, from the pair's own on; from an earlier one at a clip's end."""
    last = pair.target.length - 1
    first = max(0, min(pair.target_index, last + 1 - count))
    return [replace(pair, target_index=min(first + step, last)) for step in range(count)]


def stretch(random: np.random.Generator, clip: StoredClip, frames: int) -> tuple[int, int]:
    """(first frame, number of frames) of a random stretch of at most `frames` frames."""
    length = min(frames, clip.length)
    return int(random.integers(clip.length - length + 1)), length


def stretch_about(random: np.random.Generator, clip: StoredClip, index: int, frames: int) -> tuple[int, int]:
    """(first frame, number of frames) of a random stretch of at most `frames` frames that has frame `index` in it."""
    length = min(frames, clip.length)
    least, most = max(0, index - length + 1), min(index, clip.length - length)
    return int(random.integers(least, most + 1)), length
