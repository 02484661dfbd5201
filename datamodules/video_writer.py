"""Writing video files: H.264 mp4 of frames and samples, and finished videos with their colour tagged."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from jaxtyping import Float, UInt8

from conventions.errors import UserError
from conventions.files import atomic_path, space_on
from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from datamodules.media import ffmpeg_url, open_media, sound_of
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


BT709 = 1
"""Number of ITU-R BT.709 among primaries, transfer functions and matrices (ITU-T H.273)."""


@dataclass(frozen=True)
class Form:
    """How a video is encoded."""

    container: str
    codec: str
    pixels: str
    """FFmpeg's pixel format of the encoded frames."""
    options: Mapping[str, str] = field(default_factory=dict)
    tagged: bool = True
    """Converted and tagged as BT.709, limited range; else by swscale's default matrix, without tags."""
    audio: str = "aac"
    """Encoder of audio that cannot be copied."""
    copied: tuple[str, ...] = ("aac", "mp3")
    """Codecs whose packets the container takes as they are."""

    @property
    def alpha(self) -> bool:
        """Whether frames have an alpha channel."""
        return "yuva" in self.pixels


# x264's AVX-512 code gives other bits now and then for the same images; its portable one never did
_X264 = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"}

CLIP = Form("mp4", "libx264", "yuv420p", _X264, tagged=False)
"""Clips that the project itself reads again."""

_VP9 = {"crf": "24", "b": "0", "cpu-used": "6", "deadline": "realtime", "threads": "1"}
_WEBM = Form("webm", "libvpx-vp9", "yuv420p", _VP9, audio="libopus", copied=("opus", "vorbis"))
_OPAQUE = {
    ".mp4": Form("mp4", "libx264", "yuv420p", _X264),
    ".mov": Form("mov", "libx264", "yuv420p", _X264),
    ".webm": _WEBM,
}
_WITH_ALPHA = {
    ".mov": Form("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "threads": "1"}),
    ".webm": replace(_WEBM, pixels="yuva420p", options={**_VP9, "auto-alt-ref": "0"}),
}


def video_form(path: Path, alpha: bool = False) -> Form:
    """The encoding that the suffix of `path` asks for; `alpha` keeps transparency where the container can.

    UserError for a suffix that names no video. mp4 has no transparency: `alpha` changes nothing there.
    """
    forms = (_OPAQUE | _WITH_ALPHA) if alpha else _OPAQUE
    if path.suffix.lower() not in forms:
        raise UserError(f"out: {path}: is not written; give a file that ends in {', '.join(_OPAQUE)}")
    return forms[path.suffix.lower()]


class VideoWriter:
    """Writes a video piece by piece; the file appears at `path` only when all went well.

    Audio is either given as samples (`sample_rate`, then `add_audio`) or taken from a media file (`sound`), whose
    packets are copied where the container allows and encoded at their own rate and channels elsewhere.
    Use as a context manager: `with VideoWriter(path, 256, 256, sample_rate=16000) as writer: writer.add_frames(...)`.
    """

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        fps: int = VIDEO_FPS,
        sample_rate: int | None = None,
        crf: int | None = None,
        form: Form = CLIP,
        sound: Path | None = None,
    ) -> None:
        if height % 2 or width % 2:
            raise ValueError(f"yuv420p needs even sizes, not {width} x {height}")
        assert sample_rate is None or sound is None, "sound comes as samples or from a file"
        self.path, self._size, self._fps, self._form = path, (height, width), fps, form
        self._sample_rate, self._sound_path, self._crf = sample_rate, sound, crf
        self._reformatter = VideoReformatter()
        self._num_frames = 0

    def __enter__(self) -> "VideoWriter":
        form = self._form.container
        with contextlib.ExitStack() as stack:
            stack.enter_context(space_on(self.path))
            partial = stack.enter_context(atomic_path(self.path))
            options = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
            self._container = stack.enter_context(av.open(ffmpeg_url(partial), "w", format=form, options=options))
            self._video, self._audio = self._add_video(), self._add_samples()
            self._track = self._add_track()
            if self._track:
                stack.callback(self._track.close)
            stack.push(self._flush)
            self._opened = stack.pop_all()
        return self

    def _add_video(self) -> Any:
        video: Any = self._container.add_stream(self._form.codec, rate=self._fps)
        video.height, video.width = self._size
        video.pix_fmt = self._form.pixels
        crf = {} if self._crf is None else {"crf": str(self._crf)}
        video.options = {**self._form.options, **crf}
        if self._form.tagged:
            context = video.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = ColorRange.MPEG
        return video

    def _add_samples(self) -> Any:
        self._audio_pts = 0
        return self._sample_rate and self._container.add_stream("aac", rate=self._sample_rate, layout="mono")

    def _add_track(self) -> AudioTrack | None:
        path, form = self._sound_path, self._form
        return path and AudioTrack(path, self._container, form.audio, form.copied)

    def add_frames(self, frames: UInt8[np.ndarray, "t h w c"]) -> None:
        """Append frames: RGB, or RGBA where the form has alpha."""
        for pixels in frames:
            self._container.mux(self._video.encode(self._frame(np.ascontiguousarray(pixels))))
            self._num_frames += 1
        if self._track:
            self._track.write_until(self._num_frames / self._fps)

    def _frame(self, pixels: np.ndarray) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[-1] == 4 else "rgb24")
        if not self._form.tagged:
            return frame
        converted = self._reformatter.reformat(
            frame,
            format=self._form.pixels,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU709,
            threads=1,
        )
        converted.color_primaries = converted.color_trc = BT709
        return converted

    def add_audio(self, waveform: Float[np.ndarray, " n"]) -> None:
        """Append mono audio in [-1, 1] at the writer's sample rate."""
        assert self._sample_rate is not None, "the writer was opened without a sample rate"
        samples = np.clip(waveform, -1, 1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = self._sample_rate, self._audio_pts
        self._audio_pts += samples.shape[1]
        self._container.mux(self._audio.encode(frame))

    def _flush(self, kind, error, trace) -> None:
        if kind is None:
            for stream in filter(None, (self._video, self._audio)):
                self._container.mux(stream.encode(None))
            if self._track:
                self._track.write_rest()

    def __exit__(self, kind, error, trace) -> None:
        self._opened.__exit__(kind, error, trace)


def write_video(
    path: Path,
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: int = VIDEO_FPS,
    audio: Float[np.ndarray, " n"] | None = None,
    sample_rate: int = SAMPLE_RATE,
    crf: int | None = None,
) -> None:
    """Write RGB frames, and mono audio in [-1, 1], to an mp4; whole or not at all."""
    rate = None if audio is None else sample_rate
    with VideoWriter(path, frames.shape[1], frames.shape[2], fps, rate, crf) as writer:
        writer.add_frames(frames)
        if audio is not None:
            writer.add_audio(audio)
