"""The clips of a store as columns of NumPy arrays: each costs a few bytes until it is looked at."""

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Int64

from conventions.emotions import StyleKind


@dataclass(frozen=True)
class StoredClip:
    """One clip of a store. Its rows in every array are `start .. start + length`."""

    id: str
    actor: str
    emotion: str | None
    """None: no label."""
    level: int | None
    kind: StyleKind | None
    view: str
    number: int
    source: str
    start: int
    length: int
    has_audio: bool
    """False: mel, MFCC and audio rows are those of digital silence."""
    has_coefficients: bool
    """False: coefficient rows are zero."""
    has_landmarks: bool
    """False: landmark rows are zero."""
    crop: tuple[float, float, float]
    """Centre x, y and half side of the crop in pixels of the source image."""

    @property
    def has_pictures(self) -> bool:
        """False: audio alone, whose crop has no size."""
        return self.crop[2] > 0

    @property
    def rows(self) -> slice:
        """This clip's rows in every array of the store."""
        return slice(self.start, self.start + self.length)


class Words(NamedTuple):
    """A column of text with few different values."""

    values: list[str]
    """In alphabetical order."""
    codes: np.ndarray
    """int32 [n]: the place in `values`; -1: none."""


class Texts(NamedTuple):
    """A column of text with a value of its own for each clip, end to end in UTF-8."""

    characters: np.ndarray
    """uint8."""
    ends: np.ndarray
    """int64 [n]: where each value ends."""

    def __getitem__(self, number: Any) -> Any:
        begin, end = (int(self.ends[number - 1]) if number else 0), int(self.ends[number])
        return self.characters[begin:end].tobytes().decode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Columns:
    """All clips of a store in the order of their rows, column by column."""

    id: Texts
    actor: Words
    emotion: Words
    kind: Words
    view: Words
    source: Words
    level: np.ndarray
    """int16; -1: no level."""
    number: np.ndarray
    """int64."""
    length: np.ndarray
    """int64."""
    flags: np.ndarray
    """uint8; bits: has_audio, has_coefficients, has_landmarks."""
    crop: np.ndarray
    """float64 [n, 3]."""
    sound_offset: np.ndarray
    """float64, seconds; NaN: not measured."""
    row_offset: np.ndarray
    """float64, rows; NaN: not measured."""
    mouth_lag: np.ndarray
    """float64, frames; NaN: not measured, or not sure."""

    def __len__(self) -> int:
        return len(self.length)

    @functools.cached_property
    def starts(self) -> Int64[np.ndarray, " n_plus_1"]:
        """First row of each clip, and the number of all rows."""
        return np.concatenate([[0], np.cumsum(self.length, dtype=np.int64)])

    def clip(self, number: int) -> StoredClip:
        """A clip by its number."""
        words = {name: self._word(name, number) for name in ("actor", "emotion", "kind", "view", "source")}
        level, flags = int(self.level[number]), int(self.flags[number])
        x, y, half = self.crop[number].tolist()
        return StoredClip(
            id=self.id[number],
            level=None if level < 0 else level,
            number=int(self.number[number]),
            start=int(self.starts[number]),
            length=int(self.length[number]),
            has_audio=bool(flags & 1),
            has_coefficients=bool(flags & 2),
            has_landmarks=bool(flags & 4),
            crop=(x, y, half),
            **words,
        )

    def _word(self, name: str, number: int) -> Any:
        words: Words = getattr(self, name)
        code = int(words.codes[number])
        return None if code < 0 else words.values[code]

    def coded(self, name: str) -> tuple[list[Any], np.ndarray]:
        """The different values of a column (None where a clip has none), and the place in them for each clip."""
        column = getattr(self, name, None)
        if isinstance(column, Words):
            some_have_none = bool((column.codes < 0).any())
            return [None] * some_have_none + column.values, column.codes + some_have_none
        if name == "has_pictures":
            return [False, True], (self.crop[:, 2] > 0).astype(int)
        if column is None:  # one of the flags
            bit = ("has_audio", "has_coefficients", "has_landmarks").index(name)
            return [False, True], (self.flags >> bit) & 1
        values, codes = np.unique(np.asarray(column), return_inverse=True)
        return [None if name == "level" and value < 0 else value for value in values.tolist()], codes


class Clips(Sequence[StoredClip]):
    """Some clips of a store, in order. A clip is made when it is looked at."""

    def __init__(self, columns: Columns, numbers: Int64[np.ndarray, " n"] | None = None) -> None:
        self.columns = columns
        self.numbers = np.arange(len(columns)) if numbers is None else numbers
        """Their places among all clips of the store."""

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> StoredClip: ...
    @overload
    def __getitem__(self, index: slice) -> "Clips": ...
    def __getitem__(self, index: int | slice) -> "StoredClip | Clips":
        if isinstance(index, slice):
            return Clips(self.columns, self.numbers[index])
        return self.columns.clip(int(self.numbers[index]))

    def where(self, **tests: Collection[Any] | Callable[[Any], Any]) -> "Clips":
        """The clips whose columns pass: `where(view=["front"], emotion=bool, actor=lambda name: name[0] == "M")`.

        A test is a collection of values, or a function of a value that is called once for each different one.
        """
        keep = np.ones(len(self), bool)
        for name, test in tests.items():
            values, codes = self.columns.coded(name)
            passes = test if callable(test) else test.__contains__
            keep &= np.array([bool(passes(value)) for value in values])[codes[self.numbers]]
        return Clips(self.columns, self.numbers[keep])

    def values(self, name: str) -> list[Any]:
        """The different values of a column among these clips, None left out, in order."""
        values, codes = self.columns.coded(name)
        return [values[code] for code in np.unique(codes[self.numbers]) if values[code] is not None]

    def counts(self, name: str) -> dict[str, int]:
        """Number of clips by value of a column."""
        values, codes = self.columns.coded(name)
        found, counts = np.unique(codes[self.numbers], return_counts=True)
        return dict(sorted((str(values[code]), count) for code, count in zip(found, counts.tolist(), strict=True)))

    def groups(self, *names: str) -> "Groups":
        """The clips parted by their values in some columns; groups in the order of the values."""
        together = np.zeros(len(self), np.int64)
        for name in names:
            values, codes = self.columns.coded(name)
            together = together * len(values) + codes[self.numbers]
        _, group = np.unique(together, return_inverse=True)
        return Groups(self, group, np.argsort(group, kind="stable"), np.cumsum(np.bincount(group)))


@dataclass(frozen=True)
class Groups:
    """Clips parted into groups."""

    clips: Clips
    of: np.ndarray
    """int [n]: the group of each clip."""
    order: np.ndarray
    """int [n]: the clips' places, group by group."""
    ends: np.ndarray
    """int [g]: where each group ends in `order`."""

    def __len__(self) -> int:
        return len(self.ends)

    def alone(self) -> list[StoredClip]:
        """The clips that are the only one of their group."""
        places = self.order[self.ends - 1][np.bincount(self.of) == 1]
        return [self.clips[int(place)] for place in places]

    def draw(self, random: np.random.Generator, group: int) -> int:
        """The place of one clip of a group, each equally likely."""
        begin = self.ends[group - 1] if group else 0
        return int(self.order[begin + random.integers(self.ends[group] - begin)])
