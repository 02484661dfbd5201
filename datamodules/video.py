"""Video files: decoding to 25 RGB frames a second by timestamps."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from conventions.errors import RejectedClip
from conventions.rates import VIDEO_FPS

MAX_GAP_SECONDS = 5.0
"""Longest hole between two frames that is bridged by holding the earlier one; damaged files show hours."""

TRUNCATION_TOLERANCE = 0.02
"""Share of the promised frames that may be missing at the end (edit lists drop a few) before a file counts as cut."""


_REFORMATTER = VideoReformatter()
"""Keeps FFmpeg's conversion tables from frame to frame: making them anew takes fifty times as long as a small frame."""


def _to_rgb(frame: av.VideoFrame, width: int | None = None, height: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    return _REFORMATTER.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()


@dataclass(frozen=True)
class DecodedFrame:
    """One frame of the 25 fps clock and where it came from."""

    source_index: int
    """Number of the source frame, counted in display order: the row of a per-frame `.mat`."""
    frame: av.VideoFrame

    def rgb(self, max_side: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """RGB pixels, upright; with `max_side`, shrunk so that the longer side has at most that many pixels."""
        width, height = self.frame.width, self.frame.height
        factor = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
        size = (None, None) if factor == 1.0 else (round(width * factor), round(height * factor))
        pixels = _to_rgb(self.frame, *size)
        turns = self._quarter_turns
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture."""
        width, height = self.frame.width, self.frame.height
        return (height, width) if self._quarter_turns % 2 else (width, height)

    @property
    def _quarter_turns(self) -> int:
        return round(self.frame.rotation / 90) % 4

    def region(self, left: int, top: int, right: int, bottom: int) -> tuple[UInt8[np.ndarray, "h w 3"], int, int]:
        """RGB pixels of at least a part of the picture, and the (left, top) at which they begin.

        Converting only the part that is needed is what makes full-HD material quick.
        """
        if self._quarter_turns or self.frame.format.name not in ("yuv420p", "yuvj420p"):
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
    """Of the upright picture, in pixels."""
    height: int
    frames: int
    """Source frames that the header promises, or that duration and rate suggest."""
    seconds: float


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading; every way in which it can be damaged becomes a `RejectedClip`."""
    if not path.is_file():
        raise RejectedClip("unreadable", f"{path}: no such file")
    if path.stat().st_size == 0:
        raise RejectedClip("empty_file", f"{path}: the file is empty")
    try:
        with av.open(str(path)) as container:
            yield container
    except (FFmpegError, EOFError, UnicodeDecodeError) as error:
        raise RejectedClip("unreadable", f"{path}: cannot be decoded ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def probe(path: Path) -> VideoInfo:
    """Size and length of a video, by its header and its first frame."""
    first = next(iterate_frames(path))
    with open_media(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or VIDEO_FPS)
        seconds = _seconds(container, stream)
        return VideoInfo(*first.size, stream.frames or round(seconds * rate), seconds)


def _seconds(container: Any, stream: Any) -> float:
    """Length of the picture; where only the file's is known, without what comes before the picture."""
    base = float(stream.time_base or 0)
    if stream.duration:
        return stream.duration * base
    before = (stream.start_time or 0) * base - (container.start_time or 0) / av.time_base
    return (container.duration or 0) / av.time_base - before


def iterate_frames(path: Path) -> Iterator[DecodedFrame]:
    """Frames of a video at 25 fps, in bounded memory.

    Output frame k shows the source frame whose time is nearest to k / 25 s after the first one; any constant or
    variable source rate works. The number of output frames is the clip's duration times 25, rounded.
    """
    with open_media(path) as container:
        if not container.streams.video:
            raise RejectedClip("unreadable", f"{path}: has no picture")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield from _on_clock(path, _timed_frames(container, stream), stream.frames)


def _timed_frames(container: Any, stream: Any) -> Iterator[tuple[float, DecodedFrame]]:
    """Source frames with their time in s after the first; times that do not advance are moved on by a little."""
    start, last = None, -1e-3
    for index, frame in enumerate(container.decode(stream)):
        time = frame.time if frame.time is not None else last + 1 / VIDEO_FPS
        start = time if start is None else start
        last = max(time - start, last + 1e-3)
        yield last, DecodedFrame(index, frame)


def _on_clock(path: Path, source: Iterator[tuple[float, DecodedFrame]], promised: int) -> Iterator[DecodedFrame]:
    """For each tick of the 25 fps clock the source frame nearest in time; `promised` frames stand in the header."""
    first = next(source, None)
    if first is None:
        raise RejectedClip("unreadable", f"{path}: has no frames")
    (time, frame), step, count = first, 1 / VIDEO_FPS, 0
    for next_time, next_frame in source:
        step = next_time - time
        if step > MAX_GAP_SECONDS:
            raise RejectedClip("broken_timestamps", f"{path}: {step:.1f} s between two frames")
        while count / VIDEO_FPS <= (time + next_time) / 2:
            yield frame
            count += 1
        time, frame = next_time, next_frame
    _check_promise(path, promised, frame.source_index + 1)
    while (count + 0.5) / VIDEO_FPS < time + step:
        yield frame
        count += 1


def _check_promise(path: Path, promised: int, decoded: int) -> None:
    if decoded < promised * (1 - TRUNCATION_TOLERANCE) - 2:
        raise RejectedClip("truncated", f"{path}: {decoded} of {promised} frames can be decoded: the file is cut")


def read_video(path: Path, max_frames: int | None = None) -> UInt8[np.ndarray, "t h w 3"]:
    """All frames of a video (or its first `max_frames`) at 25 fps, RGB."""
    frames = []
    for decoded in iterate_frames(path):
        frames.append(decoded.rgb())
        if max_frames is not None and len(frames) == max_frames:
            break
    return np.stack(frames)
