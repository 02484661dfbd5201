import numpy as np
import pytest
import torch
from torch.nn import functional as F

from metrics.functional.sync import shift_distances, sync_scores
from metrics.speech_features import num_windows, sound_windows, syncnet_mfcc


def numpy_shift_distances(audio: np.ndarray, video: np.ndarray, max_shift: int) -> np.ndarray:
    """From scratch: for each shift and frame the distance to the audio there, or to zeros outside the clip."""
    means = []
    for shift in range(-max_shift, max_shift + 1):
        distances = []
        for frame in range(len(video)):
            sound = audio[frame + shift] if 0 <= frame + shift < len(audio) else np.zeros(audio.shape[1])
            distances.append(np.sqrt(((video[frame] - sound) ** 2).sum()))
        means.append(np.mean(distances))
    return np.array(means)


def official_loop(video: torch.Tensor, audio: torch.Tensor, max_shift: int) -> torch.Tensor:
    padded = F.pad(audio, (0, 0, max_shift, max_shift))
    rows = []
    for frame in range(len(video)):
        repeated = video[[frame]].repeat(2 * max_shift + 1, 1)
        rows.append(F.pairwise_distance(repeated, padded[frame : frame + 2 * max_shift + 1]))
    return torch.stack(rows, 1).mean(1)


def feature_pair(num: int, shift: int, dimension: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num)
    audio = torch.randn(num, dimension, generator=generator)
    return audio, audio.roll(-shift, 0) + 0.05 * torch.randn(num, dimension, generator=generator)


@pytest.mark.parametrize("num", [16, 31, 32, 33, 64, 101])
def test_shift_distances_against_numpy(num):
    audio, video = feature_pair(num, 2)
    expected = numpy_shift_distances(audio.double().numpy(), video.double().numpy(), 15)
    np.testing.assert_allclose(shift_distances(audio, video), expected, atol=1e-5)


def test_shift_distances_against_the_official_loop_at_its_size():
    audio, video = feature_pair(120, -3, 1024)
    torch.testing.assert_close(shift_distances(audio, video), official_loop(video, audio, 15), atol=1e-4, rtol=1e-5)


def test_equal_features_have_distance_zero_in_spite_of_cancellation():
    audio, _ = feature_pair(60, 0, 512)
    assert float(sync_scores(10 * audio, 10 * audio).distance) == 0


@pytest.mark.parametrize("shift", [-15, -4, 0, 1, 2, 9, 15])
def test_offset_counts_frames_by_which_the_sound_is_early(shift):
    audio, video = feature_pair(80, shift)
    scores = sync_scores(audio, video)
    assert int(scores.offset) == -shift
    distances = numpy_shift_distances(audio.double().numpy(), video.double().numpy(), 15)
    assert float(scores.distance) == pytest.approx(distances.min(), abs=1e-4)
    assert float(scores.confidence) == pytest.approx(np.median(distances) - distances.min(), abs=1e-4)


def test_a_clip_no_longer_than_the_shifts_has_no_scores():
    audio, video = feature_pair(15, 0)
    assert all(value.isnan() for value in sync_scores(audio, video))
    assert not sync_scores(*feature_pair(16, 0)).distance.isnan()


def reference_mfcc(signal: np.ndarray) -> np.ndarray:
    """Frame by frame, filter by filter, in the words of python_speech_features' documentation."""
    signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)  # noqa: E731
    edges = [int(513 * 700 * (10 ** (m / 2595) - 1) / 16000) for m in np.linspace(0, mel(8000), 28)]
    rows = []
    for start in range(0, max(1, len(signal) - 400 + 160), 160):
        frame = np.zeros(512)
        piece = signal[start : start + 400]
        frame[: len(piece)] = piece
        power = np.abs(np.fft.rfft(frame)) ** 2 / 512
        log_filters = np.zeros(26)
        for j in range(26):
            left, centre, right = edges[j : j + 3]
            up = sum(power[i] * (i - left) / (centre - left) for i in range(left, centre))
            down = sum(power[i] * (right - i) / (right - centre) for i in range(centre, right))
            log_filters[j] = np.log(up + down)
        n = np.arange(26)
        row = [
            np.sqrt((1 if k == 0 else 2) / 26) * (log_filters * np.cos(np.pi * k * (2 * n + 1) / 52)).sum()
            for k in range(13)
        ]
        row = np.array(row) * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
        row[0] = np.log(power.sum())
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("samples", [400, 3200, 3333])
def test_mfcc_against_plain_loops(samples):
    waveform = torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = reference_mfcc(waveform.double().numpy() * 32768)
    np.testing.assert_allclose(syncnet_mfcc(waveform), expected, rtol=1e-4, atol=1e-3)


def test_windows_follow_the_frames_steps():
    waveform = torch.rand(12 * 640, generator=torch.Generator().manual_seed(0)) - 0.5
    audio = sound_windows(waveform, num_windows(12, len(waveform)))
    assert audio.shape == (7, 13, 20)
    torch.testing.assert_close(audio[3], syncnet_mfcc(waveform)[12:32].T)


def test_windows_of_silence_are_finite_and_short_clips_have_none():
    assert syncnet_mfcc(torch.zeros(640)).isfinite().all()
    assert num_windows(5, 10_000) == 0
    assert len(sound_windows(torch.zeros(4 * 640), num_windows(4, 4 * 640))) == 0
