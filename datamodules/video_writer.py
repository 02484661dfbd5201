"""Writing video files: H.264 mp4 of frames and samples, and finished videos with their colour tagged."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from jaxtyping import Float, UInt8

from conventions.errors import UserError
from conventions.files import atomic_path, space_on
from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from datamodules.audio_track import AudioTrack
from datamodules.media import ffmpeg_url

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

_OPAQUE = {
    ".mp4": Form("mp4", "libx264", "yuv420p", _X264),
    ".mov": Form("mov", "libx264", "yuv420p", _X264),
    ".webm": Form(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        {"crf": "24", "b": "0", "cpu-used": "6", "deadline": "realtime", "threads": "1"},
        audio="libopus",
        copied=("opus", "vorbis"),
    ),
}
_WITH_ALPHA = {
    ".mov": Form("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "threads": "1"}),
    ".webm": Form(
        "webm",
        "libvpx-vp9",
        "yuva420p",
        {"crf": "24", "b": "0", "cpu-used": "6", "deadline": "realtime", "threads": "1", "auto-alt-ref": "0"},
        audio="libopus",
        copied=("opus", "vorbis"),
    ),
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
