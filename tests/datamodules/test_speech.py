"""Speech in pieces: the same numbers as in one, and in bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from conventions.rates import SAMPLES_PER_FRAME
from datamodules.audio import mfcc_windows, read_audio, write_audio
from datamodules.speech import speech_frames, speech_pieces


def noise(path: Path, samples: int) -> Path:
    wave = np.random.default_rng(samples).normal(0, 0.1, samples).cumsum()
    write_audio(path, (0.9 * wave / np.abs(wave).max()).astype(np.float32))
    return path


@pytest.mark.parametrize("frames", [1, 3, 16])
@pytest.mark.parametrize("samples", [639, 640, 5 * 640, 40 * 640 + 123, 41 * 640])
def test_pieces_joined_are_the_whole(tmp_path: Path, samples: int, frames: int) -> None:
    path = noise(tmp_path / "a.wav", samples)
    waveform, count = read_audio(path), samples // SAMPLES_PER_FRAME
    pieces = list(speech_pieces(path, frames))
    assert speech_frames(path) == count
    assert [len(piece.mfcc) for piece in pieces] == [frames] * (count // frames) + [count % frames] * (
        count % frames > 0
    )
    if count:
        whole = mfcc_windows(waveform, count)
        np.testing.assert_allclose(np.concatenate([p.mfcc for p in pieces]), whole, atol=1e-4)
        np.testing.assert_array_equal(np.concatenate([p.waveform for p in pieces]), waveform[: count * 640])


def test_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    peaks = []
    for seconds in (2, 60):
        path = noise(tmp_path / f"{seconds}.wav", seconds * 16_000)
        pieces = speech_pieces(path, 16)
        next(pieces)
        tracemalloc.start()
        for _ in pieces:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 60 * 16_000 * 4, "less than the sound alone"
