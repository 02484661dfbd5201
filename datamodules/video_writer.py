"""Writing video files: H.264 mp4 with AAC sound."""

from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8

from conventions.rates import SAMPLE_RATE, VIDEO_FPS
from datamodules.disk import space_on


class VideoWriter:
    """Writes an mp4 (H.264 yuv420p, AAC) piece by piece; the file appears at `path` only when all went well.

    Use as a context manager: `with VideoWriter(path, 256, 256, sample_rate=16000) as writer: writer.add_frames(...)`.
    """

    def __init__(
        self, path: Path, height: int, width: int, fps: int = VIDEO_FPS, sample_rate: int | None = None, crf: int = 18
    ) -> None:
        if height % 2 or width % 2:
            raise ValueError(f"yuv420p needs even sizes, not {width} x {height}")
        self.path, self._size, self._fps, self._sample_rate, self._crf = path, (height, width), fps, sample_rate, crf
        self._partial = path.with_name(f".{path.name}.partial.mp4")

    def __enter__(self) -> "VideoWriter":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._partial), "w", format="mp4", options={"movflags": "+faststart"})
        video = self._container.add_stream("libx264", rate=self._fps)
        video.height, video.width = self._size
        video.pix_fmt = "yuv420p"
        # x264's AVX-512 code gives other bits now and then for the same pictures; its portable one never did
        exact = {"threads": "1", "x264-params": "cpu-independent=1"}
        video.options = {"crf": str(self._crf), "preset": "veryfast", **exact}
        self._video = video
        self._audio = None
        if self._sample_rate is not None:
            self._audio = self._container.add_stream("aac", rate=self._sample_rate, layout="mono")
            self._audio_pts = 0
        return self

    def add_frames(self, frames: UInt8[np.ndarray, "t h w 3"]) -> None:
        """Append RGB frames."""
        with space_on(self.path):
            for pixels in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                self._container.mux(self._video.encode(frame))

    def add_audio(self, waveform: Float[np.ndarray, " n"]) -> None:
        """Append mono sound in [-1, 1] at the writer's sample rate."""
        assert self._sample_rate is not None, "the writer was opened without a sample rate"
        assert self._audio is not None, "the writer is used as a context manager"
        samples = np.clip(waveform, -1, 1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = self._sample_rate, self._audio_pts
        self._audio_pts += samples.shape[1]
        with space_on(self.path):
            self._container.mux(self._audio.encode(frame))

    def __exit__(self, kind, error, trace) -> None:
        try:
            with space_on(self.path):
                if kind is None:
                    for stream in filter(None, (self._video, self._audio)):
                        self._container.mux(stream.encode(None))
                self._container.close()
                if kind is None:
                    self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)


def write_video(
    path: Path,
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: int = VIDEO_FPS,
    audio: Float[np.ndarray, " n"] | None = None,
    sample_rate: int = SAMPLE_RATE,
    crf: int = 18,
) -> None:
    """Write RGB frames, and mono sound in [-1, 1], to an mp4; whole or not at all."""
    rate = None if audio is None else sample_rate
    with VideoWriter(path, frames.shape[1], frames.shape[2], fps, rate, crf) as writer:
        writer.add_frames(frames)
        if audio is not None:
            writer.add_audio(audio)
