"""What each training batch is made of: pure functions of (seed, step), so that any run can resume at any batch."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from datamodules.store import StoredClip


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

    def __init__(self, clips: Sequence[StoredClip]) -> None:
        groups: dict[Hashable, list[StoredClip]] = defaultdict(list)
        for clip in clips:
            groups[clip.emotion or "", clip.level or 0].append(clip)
        self._groups = [groups[key] for key in sorted(groups, key=str)]

    def draw(self, random: np.random.Generator, count: int) -> list[StoredClip]:
        """`count` clips, drawn with replacement."""
        groups = [self._groups[i] for i in random.integers(len(self._groups), size=count)]
        return [group[random.integers(len(group))] for group in groups]


class Mixed:
    """Draws a share `unlabelled` of clips without emotion label, the others style-balanced."""

    def __init__(self, clips: Sequence[StoredClip], unlabelled: float) -> None:
        self._share = unlabelled
        self._labelled = StyleBalanced([clip for clip in clips if clip.emotion is not None])
        self._unlabelled = StyleBalanced([clip for clip in clips if clip.emotion is None])

    def draw(self, random: np.random.Generator, count: int) -> list[StoredClip]:
        """`count` clips, drawn with replacement."""
        return [
            (self._unlabelled if draw < self._share else self._labelled).draw(random, 1)[0]
            for draw in random.random(count)
        ]


class SameActorPairs:
    """Draws (source, target) frames: the target style-balanced, the source from any clip of that actor and view.

    A share `unlabelled` of the targets has no emotion label, where there are clips of both kinds; with 0, such clips
    count as one style among the others. With `neighbours`, pairs 2k and 2k + 1 have one source and successive targets.
    """

    def __init__(self, clips: Sequence[StoredClip], unlabelled: float = 0.0, neighbours: bool = False) -> None:
        self._neighbours = neighbours
        both = len({clip.emotion is None for clip in clips}) == 2
        self._targets: Sampler = Mixed(clips, unlabelled) if unlabelled and both else StyleBalanced(clips)
        self._by_actor: dict[tuple[str, str], list[StoredClip]] = defaultdict(list)
        for clip in clips:
            self._by_actor[clip.actor, clip.view].append(clip)

    def draw(self, random: np.random.Generator, count: int) -> list[Pair]:
        """`count` pairs; source and target may come from one clip."""
        if not self._neighbours:
            return [self._pair(random, target) for target in self._targets.draw(random, count)]
        firsts = [self._pair(random, target) for target in self._targets.draw(random, count // 2)]
        return [pair for first in firsts for pair in neighbours(first)]

    def _pair(self, random: np.random.Generator, target: StoredClip) -> Pair:
        same = self._by_actor[target.actor, target.view]
        source = same[random.integers(len(same))]
        return Pair(source, int(random.integers(source.length)), target, int(random.integers(target.length)))


def neighbours(pair: Pair) -> tuple[Pair, Pair]:
    """The pair, or the one before it at a clip's end, and the one with the next frame as its target."""
    first = max(0, min(pair.target_index, pair.target.length - 2))
    return replace(pair, target_index=first), replace(pair, target_index=min(first + 1, pair.target.length - 1))


def stretch(random: np.random.Generator, clip: StoredClip, frames: int) -> tuple[int, int]:
    """(first frame, number of frames) of a random stretch of at most `frames` frames."""
    length = min(frames, clip.length)
    return int(random.integers(clip.length - length + 1)), length
