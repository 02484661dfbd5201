"""A video or a folder of numbered images as frames at 25 fps, one at a time, cut for the metrics in bounded memory."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from conventions.errors import UserError
from conventions.rates import VIDEO_FPS
from datamodules.crop import Window, bounds, cut
from datamodules.pictures import read_picture
from datamodules.video import iterate_frames
from metrics.face_clip import GREY, SYNC_SIZE, Part, part_length


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
        pictures = _stills(self.stills, self.fps) if self.stills else iterate_frames(self.path)
        for picture in itertools.islice(pictures, self.start, None):
            size = size or picture.size
            if picture.size != size:
                raise UserError(f"{self.path}: its frames differ in size")
            yield picture

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


GREY_BYTE = round((GREY + 1) * 127.5)


@dataclass(frozen=True)
class CutFrames:
    """The first `length` frames of a video: a fixed window at `side` px, and SyncNet's crop of each frame.

    `windows` [t, 3] are SyncNet's (cx, cy, half) in px; None: no Sync. `frame` is the size (width, height) to which
    frames of another shape are stretched first; windows count its pixels.
    """

    media: Media
    length: int
    window: Window
    side: int
    windows: Float[np.ndarray, "t 3"] | None
    frame: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.side, self.side

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Part]:
        cuts = (
            (self._cut(picture, self.window, self.side), self._sync(picture, index))
            for index, picture in enumerate(itertools.islice(self.media.frames(), self.length))
        )
        while some := list(itertools.islice(cuts, part_length(*self.size))):
            pictures, sync = zip(*some, strict=True)
            yield Part(_stacked(pictures), None if self.windows is None else _stacked(sync))

    def _cut(self, picture: Picture, window: Window, side: int) -> UInt8[np.ndarray, "s s 3"]:
        if picture.size != self.frame:
            return cut(_stretched(picture, self.frame), window, side)
        pixels, left, top = picture.region(*bounds(window, side))
        return cut(pixels, (window[0] - left, window[1] - top, window[2]), side)

    def _sync(self, picture: Picture, index: int) -> UInt8[np.ndarray, "s s 3"] | None:
        """SyncNet's crop of a frame; grey beyond the frame, as in its official pipeline."""
        if self.windows is None:
            return None
        x, y, half = (float(value) for value in self.windows[index])
        pixels = self._cut(picture, (x, y, half), SYNC_SIZE).copy()
        steps = (np.arange(SYNC_SIZE) + 0.5) * 2 / SYNC_SIZE - 1
        outside = [
            (c + steps * half < 0) | (c + steps * half > limit) for c, limit in ((x, self.frame[0]), (y, self.frame[1]))
        ]
        pixels[:, outside[0]] = GREY_BYTE
        pixels[outside[1]] = GREY_BYTE
        return pixels


@dataclass(frozen=True)
class WholeFrames:
    """The first `length` frames of a video, stretched to (width, height) `frame` where they are of another size."""

    media: Media
    length: int
    frame: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.frame[1], self.frame[0]

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Part]:
        frames = (_stretched(picture, self.frame) for picture in itertools.islice(self.media.frames(), self.length))
        while some := list(itertools.islice(frames, part_length(*self.size))):
            yield Part(_stacked(some))


def _stretched(picture: Picture, frame: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The whole frame at another size: bilinear, smoothed where it shrinks."""
    pixels = picture.rgb()
    if picture.size == frame:
        return pixels
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(frame, Image.Resampling.BILINEAR))


def _stacked(pictures: Sequence[Any]) -> UInt8[torch.Tensor, "t 3 h w"]:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
