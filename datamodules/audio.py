"""Audio: decoding to 16 kHz mono, writing, and the two features of the house, log-mel and MFCC windows.

Every feature is a pure function of the waveform in NumPy: the same bits on every call and for any number of workers.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import scipy.fft
from jaxtyping import Float

from conventions.errors import RejectedClip
from conventions.files import atomic_path
from conventions.rates import (
    MEL_BINS,
    MEL_STEPS_PER_FRAME,
    MFCC_COEFFICIENTS,
    MFCC_WINDOW,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
)
from datamodules.media import ffmpeg_url
from datamodules.sound_track import iterate_track, sound_start
from datamodules.video import picture_start

HOP = SAMPLES_PER_FRAME // MEL_STEPS_PER_FRAME
"""10 ms: 160 samples from one feature column to the next."""
WINDOW = 400
"""25 ms analysis window, of mel and MFCC alike."""

MEL_FFT = 1024
MEL_FLOOR_DB = -80.0
"""Mel values lie in [-80, about 10] dB: 0 dB is a band that holds a full-scale sine."""

MFCC_FFT = 512
MFCC_FILTERS = 26
MFCC_LIFTER = 22
MFCC_PREEMPHASIS = 0.97
INT16_SCALE = 32768.0


def read_audio(path: Path) -> Float[np.ndarray, " n"]:
    """Audio of any file that FFmpeg reads (wav, m4a, mp3, mp4) as 16 kHz mono float32 in [-1, 1].

    Of several tracks the default one; of several channels the mean. Time 0 is the first video frame where the file has
    an image, so that audio and video share one clock. What has to be mended is a `MediaWarning` (see
    `iterate_track`); what cannot be is a `RejectedClip`.
    """
    return np.concatenate(list(iterate_audio(path)))


def iterate_audio(path: Path) -> Iterator[Float[np.ndarray, " _"]]:
    """What `read_audio` returns, piece by piece as it is decoded, in bounded memory."""
    samples = 0
    for piece in iterate_track(path, picture_start(path)):
        if not np.isfinite(piece).all():
            raise RejectedClip("unreadable", f"{path}: the audio has values that are not finite")
        samples += len(piece)
        yield np.clip(piece, -1, 1)
    if not samples:
        raise RejectedClip("empty_audio", f"{path}: the audio has no samples")


def shifted(waveform: Float[np.ndarray, " n"], seconds: float) -> Float[np.ndarray, " m"]:
    """The waveform that many seconds later, behind silence; or, for negative seconds, without its beginning."""
    shift = round(seconds * SAMPLE_RATE)
    return np.concatenate([np.zeros(max(shift, 0), np.float32), waveform[max(-shift, 0) :]])


def begins_after_picture(path: Path) -> float:
    """Seconds by which a file's audio starts after its video (0 without one); `read_audio` takes them out."""
    picture, sound = picture_start(path), sound_start(path)
    return 0.0 if picture is None or sound is None else sound - picture


def write_audio(path: Path, waveform: Float[np.ndarray, " n"], sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono audio in [-1, 1] as 16-bit wav or, for other suffixes, as AAC; whole or not at all."""
    codec, sample_format = ("pcm_s16le", "s16") if path.suffix == ".wav" else ("aac", "fltp")
    samples = np.clip(waveform, -1, 1).astype(np.float32)[None]
    if codec == "pcm_s16le":
        samples = np.round(samples * (INT16_SCALE - 1)).astype(np.int16)
    with atomic_path(path, path.suffix) as partial, av.open(ffmpeg_url(partial), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
        frame.sample_rate, frame.pts = sample_rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def to_frames(waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t 640"]:
    """The waveform cut into `num_frames` rows of 640 samples, zeros where it ends early."""
    samples = np.zeros(num_frames * SAMPLES_PER_FRAME, np.float32)
    length = min(len(waveform), len(samples))
    samples[:length] = waveform[:length]
    return samples.reshape(num_frames, SAMPLES_PER_FRAME)


def _power(waveform: np.ndarray, first: int, columns: int, window: np.ndarray, fft: int) -> np.ndarray:
    """Power spectrum [columns, fft / 2 + 1] of windows that begin at sample `first`, then every `HOP`."""
    last = first + (columns - 1) * HOP + WINDOW
    padded = np.pad(waveform[: max(last, 0)], (max(-first, 0), max(last - len(waveform), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[max(first, 0) :: HOP][:columns]
    return np.abs(np.asarray(scipy.fft.rfft(frames * window, fft, axis=-1))) ** 2


def _triangles(edges: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Triangular filters [n, bins] of height 1 between consecutive `edges` [n + 2], in the unit of `bins`."""
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)), 0, None)


@functools.cache
def _mel_filters() -> np.ndarray:
    """80 triangles on Slaney's mel scale, 0 .. 8 kHz: linear to 1 kHz (200 / 3 Hz a mel), then 27 mels a factor 6.4."""
    step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(SAMPLE_RATE / 2 / 1000) / step, MEL_BINS + 2)
    hertz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))
    return _triangles(hertz, np.fft.rfftfreq(MEL_FFT, 1 / SAMPLE_RATE)).astype(np.float32)


def mel(waveform: Float[np.ndarray, " n"], num_frames: int | None = None) -> Float[np.ndarray, "t4 80"]:
    """Log-mel [4T, 80] in dB, in [-80, about 10], 10 ms a column; T = whole video frames in the waveform by default.

    Column j sees 25 ms (Hann) centred on sample 160 j + 80, so that columns 4k .. 4k+3 lie within video frame k.
    Slaney's mel scale (librosa's default), triangles of height 1; a full-scale sine reads about 0 dB.
    """
    frames = len(waveform) // SAMPLES_PER_FRAME if num_frames is None else num_frames
    if frames == 0:
        return np.zeros((0, MEL_BINS), np.float32)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    first = (HOP - WINDOW) // 2
    power = _power(waveform.astype(np.float32), first, frames * MEL_STEPS_PER_FRAME, window, MEL_FFT)
    power *= (2 / window.sum()) ** 2
    decibels = 10 * np.log10(np.maximum(power @ _mel_filters().T, 10 ** (MEL_FLOOR_DB / 10)))
    return decibels.astype(np.float32)


@functools.cache
def _mfcc_filters() -> np.ndarray:
    """26 triangles on the HTK mel scale, their corners at whole FFT bins (python_speech_features' rule)."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, MFCC_FILTERS + 2) / 2595) - 1)
    return _triangles(np.floor((MFCC_FFT + 1) * hertz / SAMPLE_RATE), np.arange(MFCC_FFT // 2 + 1.0))


def _mfcc(waveform: np.ndarray, first: int, columns: int) -> np.ndarray:
    """MFCC [columns, 13] of windows that begin at sample `first`, then every 10 ms; the first is the log energy."""
    samples = waveform.astype(np.float64) * INT16_SCALE
    emphasised = samples - MFCC_PREEMPHASIS * np.concatenate([[0.0], samples[:-1]])
    power = _power(emphasised, first, columns, np.ones(WINDOW), MFCC_FFT) / MFCC_FFT
    log_mel = np.log(np.maximum(power @ _mfcc_filters().T, 1.0))
    cepstrum = np.asarray(scipy.fft.dct(log_mel, type=2, axis=-1, norm="ortho"))[:, :MFCC_COEFFICIENTS]
    cepstrum *= 1 + MFCC_LIFTER / 2 * np.sin(np.pi * np.arange(MFCC_COEFFICIENTS) / MFCC_LIFTER)
    cepstrum[:, 0] = np.log(np.maximum(power.sum(axis=-1), 1.0))
    return cepstrum.astype(np.float32)


MFCC_MARGIN = (MFCC_WINDOW - MEL_STEPS_PER_FRAME) // 2 // MEL_STEPS_PER_FRAME
"""Video frames on either side of a frame that its MFCC window reaches."""


def mfcc_steps(waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t_plus_6 4 13"]:
    """MFCC of the 10 ms steps of each video frame, and of `MFCC_MARGIN` frames before the first and after the last.

    The maths are those of python_speech_features at 16-bit scale (pre-emphasis 0.97, 25 ms, 512-point FFT, 26 filters,
    lifter 22, log energy first), as SyncNet and EAMM use, with energies floored at 1 so that digital silence reads 0.
    """
    first = -MFCC_MARGIN * MEL_STEPS_PER_FRAME * HOP
    steps = _mfcc(waveform, first, (num_frames + 2 * MFCC_MARGIN) * MEL_STEPS_PER_FRAME)
    return steps.reshape(-1, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS)


def windows_of(steps: Float[np.ndarray, "t_plus_6 4 13"]) -> Float[np.ndarray, "t 28 13"]:
    """The MFCC windows of the frames between the margins: a view of the steps, which repeats nothing in memory."""
    flat = steps.reshape(-1, MFCC_COEFFICIENTS)
    windows = np.lib.stride_tricks.sliding_window_view(flat, MFCC_WINDOW, axis=0)[::MEL_STEPS_PER_FRAME]
    return windows.transpose(0, 2, 1)


def mfcc_windows(waveform: Float[np.ndarray, " n"], num_frames: int) -> Float[np.ndarray, "t 28 13"]:
    """MFCC windows [T, 28, 13], one for each video frame, unnormalised (energy about 0 .. 30, others within +-60).

    Window k holds the 10 ms steps 4k - 12 .. 4k + 15: the four of frame k and 12 on either side (`mfcc_steps`).
    """
    if num_frames == 0:
        return np.zeros((0, MFCC_WINDOW, MFCC_COEFFICIENTS), np.float32)
    return np.ascontiguousarray(windows_of(mfcc_steps(waveform, num_frames)))
