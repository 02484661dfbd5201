"""Frames of a video cut for the metrics as they are decoded: `metrics.face_clip.Frames` over a file."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from datamodules.crop import Window, bounds, cut
from emospace.scoring.media import Media, Picture
from metrics.face_clip import GREY, SYNC_SIZE, Part, part_length

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
