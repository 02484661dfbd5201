"""Audio against mouth: a known lag is found and taken out; what decides nothing changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.audio import mel
from datamodules.catalogue import ClipRecord
from datamodules.clip_face import Face
from datamodules.clip_part import _on_the_mouth
from datamodules.offsets import MOST_LAG, measure_lag

FRAMES = 200


def speech(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise whose loudness follows a mouth that opens and closes at random: opening [t], waveform."""
    random = np.random.default_rng(seed)
    opening = np.convolve(random.uniform(0, 1, FRAMES + 40), np.hanning(5), "same")[20:-20]
    opening -= opening.min()
    loudness = np.interp(np.arange(FRAMES * 640) / 640, np.arange(FRAMES) + 0.5, opening)
    return opening, (0.2 * loudness * random.standard_normal(FRAMES * 640)).astype(np.float32)


def late(waveform: np.ndarray, frames: int) -> np.ndarray:
    quiet = np.zeros(abs(frames) * 640, np.float32)
    return np.concatenate([quiet, waveform] if frames > 0 else [waveform[-frames * 640 :], quiet])[: len(waveform)]


def columns(waveform: np.ndarray) -> np.ndarray:
    return mel(waveform, FRAMES).reshape(FRAMES, 4, 80)


@pytest.mark.parametrize("frames", [-9, -1, 0, 2, 7])
def test_a_known_lag_is_found(frames: int) -> None:
    opening, waveform = speech()
    lag = measure_lag(opening, columns(late(waveform, frames)))
    assert lag is not None
    assert (lag.frames, lag.sure) == (frames, True)


def test_the_sound_of_another_is_not_sure() -> None:
    sure = 0
    for seed in range(20):
        lag = measure_lag(speech(seed)[0], columns(speech(seed + 100)[1]))
        sure += lag is not None and lag.sure
    assert sure <= 2


def test_too_short_or_still_measures_nothing() -> None:
    opening, waveform = speech()
    assert measure_lag(opening[:90], columns(waveform)[:90]) is None
    assert measure_lag(np.zeros(FRAMES), columns(waveform)) is None
    assert MOST_LAG * 2 < 100


@pytest.mark.parametrize("frames", [-6, 1, 6])
def test_frames_without_sound_are_cut_off_and_what_is_left_agrees(frames: int) -> None:
    opening, waveform = speech()
    record = ClipRecord("a", "a", None, None, None, "front", 0, Path("a.mp4"), None, None, "plain")
    landmarks = np.zeros((FRAMES, 68, 2), np.float32)
    landmarks[:, 45, 0], landmarks[:, 66, 1] = 1, opening
    pictures = [bytes([number]) for number in range(FRAMES)]
    face = Face((0.0, 0.0, 1.0), pictures, np.zeros((FRAMES, 3), np.float32), landmarks, None, None)
    if abs(frames) > 2:
        with pytest.warns(match="6 frames (after|before) the mouth; it is moved there"):
            cut, moved, lag = _on_the_mouth(record, face, late(waveform, frames))
    else:
        cut, moved, lag = _on_the_mouth(record, face, late(waveform, frames))
    assert lag == frames
    assert moved is not None
    assert cut.landmarks is not None
    assert len(cut.pictures) == len(cut.landmarks) == FRAMES - (6 if abs(frames) > 2 else 0)
    assert cut.pictures[0] == bytes([6 if frames == -6 else 0])
    first = cut.pictures[0][0] * 640
    whole = waveform if abs(frames) > 2 else late(waveform, frames)
    count = (len(cut.pictures) - 6) * 640
    np.testing.assert_array_equal(moved[:count], whole[first : first + count])
