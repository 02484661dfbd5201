"""The audio of a media file as a track of a video: its packets copied, or encoded at its own rate and channels."""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from datamodules.media import open_media, sound_of
from datamodules.sound_track import sound_start
from datamodules.video import picture_start

RATES = {
    "aac": (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000),
    "libopus": (48000, 24000, 16000, 12000, 8000),
}
"""Sampling rates that each encoder takes, highest first."""

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""Layout that the encoders take for each number of channels; more are mixed to stereo."""

BITS_PER_CHANNEL = 96_000
"""Bits a second of each encoded channel."""


class AudioTrack:
    """Writes the default audio stream of `source` into an open output container, in time with the video.

    Time 0 of the video is the first video frame of `source`, where it has an image, else its first audio. Packets are
    copied where their codec is one of `copied` and none lies before time 0; else `encoder` makes new ones.
    """

    def __init__(self, source: Path, out: Any, encoder: str, copied: Sequence[str]) -> None:
        self._stack = contextlib.ExitStack()
        self._container: Any = self._stack.enter_context(open_media(source))
        stream: Any = sound_of(self._container)
        starts = picture_start(source), sound_start(source)
        begin = starts[1] or 0.0
        self._origin = begin if starts[0] is None else starts[0]
        self.copies = stream.codec_context.name.removesuffix("float") in copied and begin >= self._origin
        packets = self._copied(stream, out) if self.copies else self._encoded(stream, out, encoder)
        self._packets, self._out, self._next = packets, out, None

    def write_until(self, seconds: float) -> None:
        """Write all packets that begin before `seconds`."""
        while (packet := self._peek()) is not None and packet[0] < seconds:
            self._out.mux(packet[1])
            self._next = None

    def write_rest(self) -> None:
        """Write all that is left."""
        self.write_until(float("inf"))

    def close(self) -> None:
        """Close the source."""
        self._stack.close()

    def _peek(self) -> tuple[float, Any] | None:
        self._next = self._next or next(self._packets, None)
        return self._next

    def _copied(self, stream: Any, out: Any) -> Iterator[tuple[float, Any]]:
        target = out.add_stream_from_template(stream)
        shift = round(self._origin / stream.time_base)

        def packets() -> Iterator[tuple[float, Any]]:
            for packet in self._container.demux(stream):
                if packet.dts is None:
                    continue
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = target
                yield float(packet.dts * stream.time_base), packet

        return packets()

    def _encoded(self, stream: Any, out: Any, encoder: str) -> Iterator[tuple[float, Any]]:
        rate = next((r for r in RATES[encoder] if r <= stream.rate), RATES[encoder][-1])
        layout = LAYOUTS.get(stream.codec_context.layout.nb_channels, "stereo")
        target = out.add_stream(encoder, rate=rate, layout=layout)
        target.bit_rate = BITS_PER_CHANNEL * len(av.AudioLayout(layout).channels)
        resampler = av.AudioResampler(format=target.format.name, layout=layout, rate=rate)

        def packets() -> Iterator[tuple[float, Any]]:
            place = 0
            for frame in _resampled(self._container.decode(stream), resampler, self._origin):
                frame.pts = place = max(place, frame.pts)
                place += frame.samples
                yield from _timed(target.encode(frame), place / rate)
            yield from _timed(target.encode(None), place / rate)

        return packets()


def _timed(packets: Sequence[Any], seconds: float) -> Iterator[tuple[float, Any]]:
    return ((seconds, packet) for packet in packets)


def _resampled(frames: Iterator[Any], resampler: Any, origin: float) -> Iterator[Any]:
    """Frames in the resampler's form, `pts` in its samples since `origin`; what lies before it is left out."""
    for frame in frames:
        start = None if frame.time is None else round((frame.time - origin) * resampler.rate)
        frame.pts = None
        for piece in resampler.resample(frame):
            piece.pts, piece.time_base = start or 0, Fraction(1, resampler.rate)
            if start is None or start >= 0:
                yield piece
            start = None if start is None else start + piece.samples
    for piece in resampler.resample(None):
        piece.pts, piece.time_base = 0, Fraction(1, resampler.rate)
        yield piece
