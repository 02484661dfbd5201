"""Video files: decoding to 25 RGB frames a second by timestamps."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from conventions.errors import RejectedClip
from datamodules.media import open_media, picture_of
from datamodules.pictures import on_background
from datamodules.video_times import PictureTimes

MOST_STRETCH = 10
"""A pixel that is longer than this many times its width, or wider, is a damaged header's."""

OFF_AXIS = 0.02
"""A display matrix that turns by other than quarter turns has more than this share in its other elements."""


@dataclass(frozen=True)
class Display:
    """What is done to a decoded image: stretched, then transposed, then mirrored."""

    transposed: bool = False
    mirrored: bool = False
    """Left to right."""
    flipped: bool = False
    """Upside down."""
    stretch: Fraction = Fraction(1)
    """Width of a stored pixel over its height."""

    @property
    def plain(self) -> bool:
        """Whether the stored image is shown as it is."""
        return self == Display()

    def stretched(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the stored image in square pixels, not turned yet."""
        return max(round(width * self.stretch), 1), height

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the shown image."""
        wide, high = self.stretched(width, height)
        return (high, wide) if self.transposed else (wide, high)

    def upright(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h2 w2 c"]:
        """Pixels in the order in which they are shown."""
        turned = pixels.transpose(1, 0, 2) if self.transposed else pixels
        turned = turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(turned)


def display_of(frame: VideoFrame, pixel_aspect: Fraction | None) -> Display:
    """The display of a frame; ValueError where no player could follow its header.

    Side data holds FFmpeg's 3 x 3 display matrix (a b u; c d v; x y w), by which a pixel (x, y) is shown at
    (a x + c y, b x + d y) but for a shift.
    """
    stretch = pixel_aspect or Fraction(1)
    if not Fraction(1, MOST_STRETCH) <= stretch <= MOST_STRETCH:
        raise ValueError(f"its pixels are {stretch} times as wide as high")
    # Not `frame.side_data`: the frame keeps that object, and it keeps the frame, so that the pixels of hundreds of
    # frames wait for Python's search for cycles.
    side_data = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyright: ignore[reportCallIssue]
    if side_data is None:
        return Display(stretch=stretch)
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    along, across = abs(a) + abs(d), abs(b) + abs(c)
    if not along + across:
        return Display(stretch=stretch)
    if min(along, across) > OFF_AXIS * max(along, across):
        raise ValueError("its display matrix turns it by other than quarter turns")
    transposed = across > along
    return Display(
        transposed, mirrored=(c if transposed else a) < 0, flipped=(b if transposed else d) < 0, stretch=stretch
    )


TRUNCATION_TOLERANCE = 0.02
"""Share of the promised frames that may be missing at the end (edit lists drop a few) before a file counts as cut."""


_REFORMATTER = VideoReformatter()
"""Keeps FFmpeg's conversion tables from frame to frame: making them anew takes fifty times as long as a small frame."""


def _to_rgb(frame: av.VideoFrame, width: int | None = None, height: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels; transparent ones are composed on the background of `datamodules.pictures`."""
    if not any(component.is_alpha for component in frame.format.components):
        return _REFORMATTER.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
    return on_background(_REFORMATTER.reformat(frame, width, height, "rgba", threads=1).to_ndarray())


@dataclass(frozen=True)
class DecodedFrame:
    """One frame of the 25 fps clock and where it came from."""

    source_index: int
    """Number of the source frame in the order of decoding: the row of a per-frame `.mat`."""
    frame: av.VideoFrame
    display: Display

    def rgb(self, max_side: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """RGB pixels as a player shows them; with `max_side`, the longer side has at most that many pixels."""
        width, height = self.display.stretched(self.frame.width, self.frame.height)
        factor = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
        size = max(round(width * factor), 1), max(round(height * factor), 1)
        same = size == (self.frame.width, self.frame.height)
        return self.display.upright(_to_rgb(self.frame) if same else _to_rgb(self.frame, *size))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the shown image."""
        return self.display.size(self.frame.width, self.frame.height)

    def region(self, left: int, top: int, right: int, bottom: int) -> tuple[UInt8[np.ndarray, "h w 3"], int, int]:
        """RGB pixels of at least a part of the image, and the (left, top) at which they begin.

        Converting only the part that is needed is what makes full-HD material quick.
        """
        if not self.display.plain or self.frame.format.name not in ("yuv420p", "yuvj420p"):
            return self.rgb(), 0, 0
        left, top = max(left // 2 * 2, 0), max(top // 2 * 2, 0)
        right, bottom = min(-(-right // 2) * 2, self.frame.width), min(-(-bottom // 2) * 2, self.frame.height)
        if right - left < 2 or bottom - top < 2:
            return self.rgb(), 0, 0
        return _to_rgb(_part(self.frame, left, top, right, bottom)), left, top


def _part(frame: av.VideoFrame, left: int, top: int, right: int, bottom: int) -> av.VideoFrame:
    """A rectangle of a yuv420p frame (even corners) as a frame of its own."""
    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    for index, (source, target) in enumerate(zip(frame.planes, part.planes, strict=True)):
        shift = 1 if index else 0
        rows = np.frombuffer(memoryview(cast(Any, source)), np.uint8).reshape(-1, source.line_size)
        out = np.frombuffer(memoryview(cast(Any, target)), np.uint8).reshape(-1, target.line_size)
        piece = rows[top >> shift : (bottom + shift) >> shift, left >> shift : (right + shift) >> shift]
        out[: piece.shape[0], : piece.shape[1]] = piece
    return part


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header and first frame say."""

    width: int
    """Of the upright image, in pixels."""
    height: int
    frames: int
    """Source frames that the header promises, or else packets of the video."""
    seconds: float


def probe(path: Path) -> VideoInfo:
    """Size and length of a video, by its header and its first frame."""
    first = next(iterate_frames(path))
    with open_media(path) as container:
        stream = _picture(path, container)
        frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        return VideoInfo(*first.size, frames, _seconds(container, stream))


def _seconds(container: Any, stream: Any) -> float:
    """Length of the video; where only the file's is known, without what comes before the video."""
    base = float(stream.time_base or 0)
    if stream.duration:
        return stream.duration * base
    before = (stream.start_time or 0) * base - (container.start_time or 0) / av.time_base
    return (container.duration or 0) / av.time_base - before


def iterate_frames(path: Path) -> Iterator[DecodedFrame]:
    """Frames of a video at 25 fps, in bounded memory.

    Output frame k shows the source frame whose time is nearest to k / 25 s after the first one; any constant or
    variable source rate works, and frames that are out of order, doubled or missing go by their times alone
    (`MediaWarning`). The number of output frames is the clip's duration times 25, rounded.
    """
    with open_media(path) as container:
        stream = _picture(path, container)
        stream.thread_type = "AUTO"
        times = PictureTimes(path)
        frames = times.in_order(container.decode(stream))
        try:
            yield from times.on_clock(_decoded(frames, stream.sample_aspect_ratio))
            _check_promise(path, stream.frames, times.decoded)
        finally:
            times.report()


def picture_start(path: Path) -> float | None:
    """Time in s of a video's first frame, on the file's own clock; None without an image."""
    with open_media(path) as container:
        if picture_of(container) is None:
            return None
        frames = PictureTimes(path).in_order(container.decode(_picture(path, container)))
        return next((time for time, _, _ in frames), None)


def _picture(path: Path, container: InputContainer) -> VideoStream:
    stream = picture_of(container)
    if stream is None:
        raise RejectedClip("unreadable", f"{path}: has no video")
    return stream


def _decoded(
    frames: Iterator[tuple[float, int, av.VideoFrame]], pixel_aspect: Fraction | None
) -> Iterator[tuple[float, DecodedFrame]]:
    """Frames with their display; ValueError where the image changes its size on the way."""
    size = None
    for time, number, frame in frames:
        shown = DecodedFrame(number, frame, display_of(frame, pixel_aspect))
        size = size or shown.size
        if shown.size != size:
            raise ValueError(f"the image size changes from {size[0]} x {size[1]} to {shown.size[0]} x {shown.size[1]}")
        yield time, shown


def _check_promise(path: Path, promised: int, decoded: int) -> None:
    if decoded < promised * (1 - TRUNCATION_TOLERANCE) - 2:
        raise RejectedClip("truncated", f"{path}: {decoded} of {promised} frames can be decoded: the file is truncated")


def read_video(path: Path, max_frames: int | None = None) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a video (or its first `max_frames`) at 25 fps, RGB."""
    frames = []
    for decoded in iterate_frames(path):
        frames.append(decoded.rgb())
        if max_frames is not None and len(frames) == max_frames:
            break
    return np.stack(frames)
