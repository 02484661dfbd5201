"""A video or a folder of numbered images as frames at 25 fps, one at a time, in bounded memory."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.pictures import read_picture
from datamodules.video import iterate_frames


@runtime_checkable
class Picture(Protocol):
    """One frame."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        ...

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """All pixels."""
        ...

    def region(self, left: int, top: int, right: int, bottom: int) -> tuple[UInt8[np.ndarray, "h w 3"], int, int]:
        """At least the pixels of a part, and the (left, top) at which they begin."""
        ...


@dataclass(frozen=True)
class Still:
    """An image that was read from a file of its own."""

    pixels: UInt8[np.ndarray, "h w 3"]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        """All pixels."""
        return self.pixels

    def region(self, left: int, top: int, right: int, bottom: int) -> tuple[UInt8[np.ndarray, "h w 3"], int, int]:
        """All pixels, from (0, 0)."""
        return self.pixels, 0, 0


@dataclass(frozen=True)
class Media:
    """A video file, or images shown at `fps`; its frames begin at frame `start` of the 25 fps clock."""

    path: Path
    stills: tuple[Path, ...] = ()
    fps: float = float(VIDEO_FPS)
    start: int = 0

    def frames(self) -> Iterator[Picture]:
        """Frames at 25 fps; UserError where they differ in size or cannot be decoded."""
        size = None
        for picture in itertools.islice(self._all(), self.start, None):
            size = size or picture.size
            if picture.size != size:
                raise UserError(f"{self.path}: its frames differ in size")
            yield picture

    def _all(self) -> Iterator[Picture]:
        return _stills(self.stills, self.fps) if self.stills else iterate_frames(self.path)

    def files(self) -> Sequence[Path]:
        """The files behind it."""
        return self.stills or (self.path,)


def _stills(paths: Sequence[Path], fps: float) -> Iterator[Still]:
    """To each tick of the clock the image nearest in time, as for videos."""
    last, still = -1, None
    for tick in range(max(round(len(paths) * VIDEO_FPS / fps), 1)):
        index = min(int(tick / VIDEO_FPS * fps + 0.5), len(paths) - 1)
        if index != last or still is None:
            last, still = index, Still(read_picture(paths[index]))
        yield still
