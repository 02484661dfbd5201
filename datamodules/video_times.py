"""Decoded images by their own times: sorted, doubles dropped, holes bridged, on the clock of 25 frames a second."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from av import VideoFrame

from conventions.errors import RejectedClip
from conventions.rates import VIDEO_FPS
from datamodules.media import MAX_GAP_SECONDS, warn

REORDERED = 8
"""Frames that are held to sort them by time."""

HOLE = 1.5
"""A step of more than so many usual steps of a file (or of the 25 fps clock) is a hole."""

T = TypeVar("T")


@dataclass
class PictureTimes:
    """Sorts one file's frames by time, puts them on the clock, and counts what it had to mend."""

    path: Path
    decoded: int = 0
    _misplaced: int = 0
    """Frames that came after a later one."""
    _dropped: int = 0
    """Frames at the time of another, or too late to be sorted in."""
    _steps: list[float] = field(default_factory=list)

    def in_order(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float, int, VideoFrame]]:
        """(time in s, number in the order of decoding, frame), each time later than the one before."""
        last = float("-inf")
        for time, number, frame in self._sorted(self._timed(frames)):
            if time > last:
                yield time, number, frame
                last = time
            else:
                self._dropped += 1

    def _timed(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float, int, VideoFrame]]:
        """Frames with their times; one without a time follows the one before it."""
        last, latest = -1 / VIDEO_FPS, float("-inf")
        for number, frame in enumerate(frames):
            self.decoded += 1
            last = frame.time if frame.time is not None else last + 1 / VIDEO_FPS
            self._misplaced += last < latest
            latest = max(latest, last)
            yield last, number, frame

    @staticmethod
    def _sorted(items: Iterable[tuple[float, int, VideoFrame]]) -> Iterator[tuple[float, int, VideoFrame]]:
        held: list[tuple[float, int, VideoFrame]] = []
        for item in items:
            heapq.heappush(held, item)
            if len(held) > REORDERED:
                yield heapq.heappop(held)
        while held:
            yield heapq.heappop(held)

    def on_clock(self, source: Iterator[tuple[float, T]]) -> Iterator[T]:
        """For each tick of the 25 fps clock, which begins with the first item, the item that is nearest in time."""
        first = next(source, None)
        if first is None:
            raise RejectedClip("unreadable", f"{self.path}: has no frames")
        (start, item), time, step, count = first, 0.0, 1 / VIDEO_FPS, 0
        for absolute, following in source:
            step = absolute - start - time
            if step > MAX_GAP_SECONDS:
                raise RejectedClip("broken_timestamps", f"{self.path}: {step:.1f} s between two frames")
            self._steps.append(step)
            while count / VIDEO_FPS <= time + step / 2:
                yield item
                count += 1
            time, item = time + step, following
        while (count + 0.5) / VIDEO_FPS < time + step:
            yield item
            count += 1

    def report(self) -> None:
        """Warn of what was mended so far."""
        usual = max(median(self._steps), 1 / VIDEO_FPS) if self._steps else 0.0
        if holes := [step for step in self._steps if step > HOLE * usual]:
            lost = f"{sum(holes) - len(holes) * usual:.2f} s in {len(holes)} places"
            warn(f"{self.path}: frames are missing ({lost}); the nearest one is shown")
        if self._misplaced or self._dropped:
            parts = [f"{self._misplaced} out of order"] * bool(self._misplaced)
            parts += [f"{self._dropped} doubled or too late, left out"] * bool(self._dropped)
            warn(f"{self.path}: frames are taken by their times ({', '.join(parts)})")
