"""Audio: any file to 16 kHz mono, and features that agree with independent references."""

import wave
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from conventions.errors import RejectedClip
from datamodules import audio
from datamodules.video_writer import write_video


def tone(seconds: float, hertz: float = 440.0, rate: int = 16000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_wav_comes_back_as_written(tmp_path: Path) -> None:
    waveform = noise(12345)
    audio.write_audio(tmp_path / "a.wav", waveform)
    np.testing.assert_allclose(audio.read_audio(tmp_path / "a.wav"), waveform, atol=1e-4)


@pytest.mark.parametrize("suffix", [".m4a", ".mp4"])
def test_aac_keeps_time(tmp_path: Path, suffix: str) -> None:
    waveform = tone(1.0) * np.linspace(0, 1, 16000, dtype=np.float32)
    if suffix == ".m4a":
        audio.write_audio(tmp_path / "a.m4a", waveform)
    else:
        write_video(tmp_path / "a.mp4", np.zeros((25, 32, 32, 3), np.uint8), audio=waveform)
    read = audio.read_audio(tmp_path / f"a{suffix}")
    assert 16000 <= len(read) < 16000 + 2048
    assert np.corrcoef(read[:16000], waveform)[0, 1] > 0.99


def test_stereo_at_48_khz_becomes_mono_at_16(tmp_path: Path) -> None:
    left, right = tone(1.0, 300, 48000), tone(1.0, 500, 48000)
    samples = (np.stack([left, right], axis=1) * 32767).astype(np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(samples.tobytes())
    read = audio.read_audio(tmp_path / "a.wav")
    assert abs(len(read) - 16000) <= 32
    expected = (tone(1.0, 300) + tone(1.0, 500)) / 2
    assert np.corrcoef(read[200:15800], expected[200:15800])[0, 1] > 0.999


def test_no_samples_is_a_reason(tmp_path: Path) -> None:
    audio.write_audio(tmp_path / "a.wav", tone(0.5))
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "header_only.wav").write_bytes(content[: content.index(b"data") + 4] + b"\0\0\0\0")
    (tmp_path / "nothing.wav").write_bytes(b"")
    reasons = {}
    for name in ("header_only.wav", "nothing.wav"):
        with pytest.raises(RejectedClip, match=name) as error:
            audio.read_audio(tmp_path / name)
        reasons[name] = error.value.reason
    assert reasons["nothing.wav"] == "empty_file"
    assert reasons["header_only.wav"] in ("empty_audio", "unreadable")


def test_a_video_without_sound_is_a_reason(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", np.zeros((5, 32, 32, 3), np.uint8))
    with pytest.raises(RejectedClip) as error:
        audio.read_audio(tmp_path / "v.mp4")
    assert error.value.reason == "no_audio_stream"


def test_mel_agrees_with_librosa() -> None:
    waveform = noise(16000)
    centred = np.pad(waveform, (512 - 80, 512))
    power = librosa.stft(centred, n_fft=1024, hop_length=160, win_length=400, window="hann", center=False)
    filters = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=80, norm=None)
    reference = 10 * np.log10(filters @ (np.abs(power) * 2 / 200) ** 2)
    np.testing.assert_allclose(audio.mel(waveform), reference.T[:100], atol=2e-3)


def test_mel_of_a_full_scale_sine_is_about_0_db_and_of_silence_the_floor() -> None:
    assert audio.mel(2 * tone(1.0)).max() == pytest.approx(0, abs=4)
    assert (audio.mel(np.zeros(6400, np.float32)) <= audio.MEL_FLOOR_DB + 1e-3).all()


def reference_mfcc(waveform: np.ndarray) -> np.ndarray:
    """python_speech_features' recipe, one window at a time, from its description."""
    signal = waveform.astype(np.float64) * 32768
    signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    edges = np.floor(513 * 700 * (10 ** (mels / 2595) - 1) / 16000).astype(int)
    bank = np.zeros((26, 257))
    for i in range(26):
        for k in range(edges[i], edges[i + 1]):
            bank[i, k] = (k - edges[i]) / (edges[i + 1] - edges[i])
        for k in range(edges[i + 1], edges[i + 2]):
            bank[i, k] = (edges[i + 2] - k) / (edges[i + 2] - edges[i + 1])
    rows = []
    for start in range(0, len(signal) - 400 + 1, 160):
        power = np.abs(np.fft.rfft(signal[start : start + 400], 512)) ** 2 / 512
        row = scipy.fft.dct(np.log(bank @ power), norm="ortho")[:13] * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
        row[0] = np.log(power.sum())
        rows.append(row)
    return np.array(rows)


def test_mfcc_agrees_with_its_description() -> None:
    waveform = noise(16000)
    windows = audio.mfcc_windows(waveform, 25)
    reference = reference_mfcc(waveform)
    for frame in (3, 10, 20):
        expected = reference[4 * frame - 12 : 4 * frame + 16]
        np.testing.assert_allclose(windows[frame], expected, rtol=1e-4, atol=1e-3)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 3))
def test_windows_follow_the_clock(shift: int, seed: int) -> None:
    """Audio moved by whole frames moves mel and MFCC by as many frames."""
    waveform = noise(640 * 30, seed)
    moved = np.concatenate([np.zeros(640 * shift, np.float32), waveform])
    plain, late = audio.mfcc_windows(waveform, 30), audio.mfcc_windows(moved, 30 + shift)
    np.testing.assert_allclose(late[shift + 4 :], plain[4:], atol=1e-3)
    np.testing.assert_allclose(audio.mel(moved)[4 * (shift + 1) :], audio.mel(waveform)[4:], atol=1e-3)


def test_a_window_sees_only_its_neighbourhood() -> None:
    waveform = noise(640 * 30)
    changed = waveform.copy()
    changed[640 * 20 :] = 0
    same = audio.mfcc_windows(waveform, 30)[:16] == audio.mfcc_windows(changed, 30)[:16]
    assert same.all()


def test_shapes_for_any_length() -> None:
    for frames in (0, 1, 7):
        assert audio.mfcc_windows(noise(640 * 3), frames).shape == (frames, 28, 13)
        assert audio.mel(noise(640 * 3), frames).shape == (4 * frames, 80)
        assert audio.to_frames(noise(640 * 3), frames).shape == (frames, 640)
    assert np.isfinite(audio.mfcc_windows(np.zeros(640, np.float32), 5)).all()
