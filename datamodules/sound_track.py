"""The audio track of a media file as 16 kHz mono: its channels mixed, its pieces laid where their times put them."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av import AudioFrame
from av.container import InputContainer
from jaxtyping import Float

from conventions.errors import RejectedClip
from conventions.rates import SAMPLE_RATE
from datamodules.media import MAX_GAP_SECONDS, open_media, sound_of, warn

JITTER_SECONDS = 0.01
"""Times of pieces are rounded by the container: less than this is no gap. A lost packet leaves 20 ms or more."""

CANCELLED = 0.25
"""Share of the power of unrelated channels that a mix must keep (6 dB less); below, the channels cancel each other."""

LOUDEST = 1.5
"""Lossy decoders exceed full scale by a little; more than this is a file whose samples have another scale."""


def sound_start(path: Path) -> float | None:
    """Time in s of the first samples, on the file's own clock; None without an audio track."""
    with open_media(path) as container:
        if sound_of(container) is None:
            return None
        return next((frame.time or 0.0 for frame in _frames(path, container)), None)


def iterate_track(path: Path, origin: float | None) -> Iterator[Float[np.ndarray, " _"]]:
    """Pieces of 16 kHz mono float32 from time `origin` on (s on the file's clock; None: from the first samples on).

    The mix is the mean of the channels; where these cancel each other the strongest one is used alone. Gaps in time are
    filled with silence and overlaps cut. Both are reported as `MediaWarning`.
    """
    with open_media(path) as container:
        if sound_of(container) is None:
            raise RejectedClip("no_audio_stream", f"{path}: has no audio")
        frames = _frames(path, container)
        first = next(frames, None)
        if first is None:
            return
        mixer = _Mixer.of(path, first.layout.nb_channels)
        timeline = _Timeline(path, first.sample_rate, (first.time or 0.0) if origin is None else origin)
        try:
            yield from _laid(itertools.chain([first], frames), mixer, timeline)
        finally:
            mixer.report()
            timeline.report()


def _laid(frames: Iterable[AudioFrame], mixer: "_Mixer", timeline: "_Timeline") -> Iterator[np.ndarray]:
    """The frames mixed, laid by their times and resampled."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    for frame in frames:
        for samples in timeline.lay(frame.time, mixer.mono(_channels(frame))):
            piece = AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
            piece.sample_rate = frame.sample_rate
            yield from (made.to_ndarray()[0] for made in resampler.resample(piece))
    if timeline.begun:
        yield from (made.to_ndarray()[0] for made in resampler.resample(None))


def _frames(path: Path, container: InputContainer) -> Iterator[AudioFrame]:
    """Decoded frames of the default track; they keep one form to the end."""
    first = None
    for frame in cast(Iterator[AudioFrame], container.decode(sound_of(container))):
        form = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        first = first or form
        if form != first:
            raise RejectedClip("unreadable", f"{path}: the audio changes from {first} to {form}")
        yield frame


def _channels(frame: AudioFrame) -> Float[np.ndarray, "c n"]:
    """Samples by channel; integers of any size as numbers in [-1, 1)."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return values
    half = 2.0 ** (8 * values.dtype.itemsize - 1)
    return (values - half) / half if values.dtype.kind == "u" else values / half


@dataclass
class _Mixer:
    """From channels to mono."""

    path: Path
    only: int | None
    """The one channel that is used; None: the mean of all."""
    num_channels: int
    _peak: float = 0.0

    @classmethod
    def of(cls, path: Path, num_channels: int) -> "_Mixer":
        """The mixer of a file; with several channels the file is decoded once to compare them."""
        if num_channels == 1:
            return cls(path, None, 1)
        channels, mix = np.zeros(num_channels), 0.0
        with open_media(path) as container:
            for frame in _frames(path, container):
                samples = _channels(frame).astype(np.float64)
                channels += np.einsum("cn,cn->c", samples, samples)
                mix += float(np.sum(samples.mean(axis=0) ** 2))
        cancel = mix * num_channels < CANCELLED * channels.mean()
        return cls(path, int(channels.argmax()) if cancel else None, num_channels)

    def mono(self, channels: Float[np.ndarray, "c n"]) -> Float[np.ndarray, " n"]:
        self._peak = max(self._peak, float(np.abs(channels).max(initial=0)))
        return channels.mean(axis=0, dtype=np.float64) if self.only is None else channels[self.only]

    def report(self) -> None:
        if self.only is not None:
            which = f"channel {self.only + 1} of {self.num_channels}, the strongest, is used alone"
            warn(f"{self.path}: the audio channels cancel each other; {which}")
        if self._peak > LOUDEST:
            warn(f"{self.path}: the audio reaches {self._peak:.3g} times full scale and is clipped")


@dataclass
class _Timeline:
    """Lays pieces of mono one after another where their times put them, from `origin` on."""

    path: Path
    rate: int
    origin: float
    _end: int | None = None
    """Sample after the last one that was laid, counted from the origin; None: nothing was."""
    _gap: int = 0
    _overlap: int = 0

    @property
    def begun(self) -> bool:
        """Whether any samples were laid."""
        return (self._end or 0) > 0

    def lay(self, time: float | None, samples: np.ndarray) -> Iterator[np.ndarray]:
        """The samples, behind the silence that is missing before them, or without what was there already."""
        begin = self._begin(time)
        end = max(self._end or 0, 0)
        if begin > end:
            yield np.zeros(begin - end, np.float32)
        if begin + len(samples) > end:
            yield samples[max(end - begin, 0) :]
        self._end = max(begin + len(samples), begin if self._end is None else self._end)

    def _begin(self, time: float | None) -> int:
        """The sample at which a piece begins; where its time is about the end of the last one, that end."""
        if time is None and self._end is not None:
            return self._end
        begin = round(((time or 0.0) - self.origin) * self.rate)
        step = begin - (self._end or 0)
        if abs(step) > MAX_GAP_SECONDS * self.rate:
            what = "audio and video start" if self._end is None else "two pieces of the audio are"
            raise RejectedClip("broken_timestamps", f"{self.path}: {what} {abs(step) / self.rate:.0f} s apart")
        if self._end is None:
            return begin
        if abs(step) <= JITTER_SECONDS * self.rate:
            return self._end
        self._gap, self._overlap = self._gap + max(step, 0), self._overlap + max(-step, 0)
        return begin

    def report(self) -> None:
        if self._gap:
            warn(f"{self.path}: the audio has gaps, filled with {self._gap / self.rate:.2f} s of silence")
        if self._overlap:
            warn(f"{self.path}: pieces of the audio overlap; {self._overlap / self.rate:.2f} s are cut")
