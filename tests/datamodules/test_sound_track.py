"""One track as mono on one clock: every layout and format, gaps, overlaps, offsets, and the default of several."""

import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from odd_media import FORMATS, write_pictures, write_sound, write_wav

from conventions.errors import MediaWarning, RejectedClip
from datamodules.audio import begins_after_picture, read_audio

RATE = 16000


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, round(seconds * RATE))


def slow(seconds: float = 2.0) -> np.ndarray:
    """audio that lossy codecs keep and whose place in time is unmistakable: a rising tone."""
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * np.sin(2 * np.pi * (200 * time + 300 * time**2))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16])
def test_the_mix_is_the_mean(count: int, kind: str, tmp_path: Path) -> None:
    channels = np.stack([noise(0.2, seed) for seed in range(count)])
    write_wav(tmp_path / "a.wav", channels, kind)
    step = 1 / 128 if kind == "u8" else 1e-4
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), channels.mean(axis=0), atol=step)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("count", [2, 6, 8, 16])
def test_equal_channels_are_the_signal(count: int, kind: str, tmp_path: Path) -> None:
    signal = noise(0.2)
    write_wav(tmp_path / "many.wav", np.tile(signal, (count, 1)), kind)
    write_wav(tmp_path / "one.wav", signal[None], kind)
    np.testing.assert_array_equal(read_audio(tmp_path / "many.wav"), read_audio(tmp_path / "one.wav"))


@pytest.mark.parametrize("codec", ["aac", "flac", "libopus", "libmp3lame"])
def test_equal_channels_of_compressed_sound(codec: str, tmp_path: Path) -> None:
    powers = []
    for layout, count in (("mono", 1), ("stereo", 2)):
        path = tmp_path / f"{layout}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=48000, layout=layout)
            values = np.tile(slow().repeat(3), (count, 1)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(values, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        powers.append(np.sqrt(np.mean(read_audio(path)[8000:24000] ** 2)))
    assert powers == pytest.approx([np.sqrt(np.mean(slow()[8000:24000] ** 2))] * 2, rel=0.07)
    assert powers[0] == pytest.approx(powers[1], rel=0.01)


@pytest.mark.parametrize("kind", ["s16", "f32"])
@pytest.mark.parametrize("gains", [(1, -1), (0.6, -0.5), (1, 1, -1, -0.9)])
def test_channels_in_antiphase_are_not_silence(gains: tuple[float, ...], kind: str, tmp_path: Path) -> None:
    signal = noise()
    write_wav(tmp_path / "a.wav", np.outer(gains, signal), kind)
    with pytest.warns(MediaWarning, match=r"a\.wav: .* cancel .*channel 1 of"):
        read = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(read, gains[0] * signal, atol=1e-3)


@pytest.mark.parametrize("gains", [(1, 0), (1, 0.5), (0, 0, 0, 1), (1, -0.2)])
def test_unequal_channels_do_not_cancel(gains: tuple[float, ...], tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.outer(gains, noise()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(read, np.mean(gains) * noise(), atol=1e-3)


def test_samples_of_another_scale_are_reported(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 32768 * noise()[None], "f32")
    with pytest.warns(MediaWarning, match="times full scale"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("default", [0, 1, 2])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_default_track_is_read(suffix: str, default: int, tmp_path: Path) -> None:
    levels = [0.1, 0.3, 0.8]
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="mono") for _ in levels]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if number == default else 0
        for level, stream in zip(levels, streams, strict=True):
            frame = av.AudioFrame.from_ndarray((level * slow())[None].astype(np.float32), "fltp", "mono")
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    power = np.sqrt(np.mean(read_audio(tmp_path / f"a.{suffix}")[8000:24000] ** 2))
    assert power == pytest.approx(levels[default] * 0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "pcm_s16le"), ("mkv", "aac"), ("mp4", "aac"), ("mkv", "libopus"), ("nut", "aac")]
)
@pytest.mark.parametrize(("begin", "end"), [(0.5, 0.9), (1.0, 1.05), (0.2, 1.7)])
def test_a_gap_is_silence_and_what_follows_keeps_its_time(suffix, codec, begin, end, tmp_path) -> None:
    rate = 48000 if codec == "libopus" else RATE
    sound = slow().repeat(rate // RATE)
    write_sound(tmp_path / f"whole.{suffix}", sound, codec, rate)
    write_sound(tmp_path / f"gap.{suffix}", sound, codec, rate, keep=lambda time: not begin < time < end)
    whole = read_audio(tmp_path / f"whole.{suffix}")
    with pytest.warns(MediaWarning, match="filled with .* of silence"):
        read = read_audio(tmp_path / f"gap.{suffix}")
    assert abs(len(read) - len(whole)) <= 160
    after, count = round((end + 0.2) * RATE), 900
    lags = [np.dot(read[after + lag :][:count], whole[after:][:count]) for lag in range(-500, 501)]
    assert abs(int(np.argmax(lags)) - 500) <= 32
    if end - begin > 0.2:
        middle = round((begin + end) / 2 * RATE)
        assert np.abs(read[middle - 160 : middle + 160]).max() < 1e-3


def test_overlaps_are_cut(tmp_path: Path) -> None:
    sound = slow()
    write_sound(tmp_path / "a.mkv", sound, move=lambda time: min(time, max(time - 0.18, 0.9 + 0.1 * time)))
    with pytest.warns(MediaWarning, match="overlap"):
        read = read_audio(tmp_path / "a.mkv")
    assert len(read) == pytest.approx(RATE * 1.82, abs=400)
    np.testing.assert_allclose(read[: RATE - 400], sound[: RATE - 400], atol=1e-3)
    np.testing.assert_allclose(read[-8000:], sound[-8000:], atol=1e-3)


@pytest.mark.parametrize("start", [-0.3, 0.0, 0.3])
def test_sound_is_laid_from_the_first_picture_on(start: float, tmp_path: Path) -> None:
    sound = noise(2.0)
    write_pictures(tmp_path / "a.mkv", [0.5 + 0.04 * number for number in range(40)], sound, 0.5 + start)
    assert begins_after_picture(tmp_path / "a.mkv") == pytest.approx(start, abs=2e-3)
    read = read_audio(tmp_path / "a.mkv")
    expected = np.concatenate([np.zeros(max(round(start * RATE), 0)), sound[max(-round(start * RATE), 0) :]])
    assert abs(len(read) - len(expected)) <= 16
    np.testing.assert_allclose(read[6000:20000], expected[6000:20000], atol=1e-3)


def test_a_gap_of_hours_is_a_reason(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.mkv", noise(), move=lambda time: time + 3600 * (time > 0.5))
    with pytest.raises(RejectedClip) as error:
        read_audio(tmp_path / "a.mkv")
    assert error.value.reason == "broken_timestamps"


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::conventions.errors.MediaWarning")
def test_real_odd_sound(real_data: Path) -> None:
    cases = real_data / "cases"
    assert np.abs(read_audio(cases / "loud2.wav")).max() == pytest.approx(0.9, abs=0.01)
    assert np.abs(read_audio(cases / "antiphase.wav")).max() > 0.1
    base, gap = read_audio(cases / "base.mp4"), read_audio(cases / "gap.mkv")
    assert abs(len(base) - len(gap)) <= 1600
    np.testing.assert_allclose(gap[RATE : RATE + 3000], base[RATE : RATE + 3000], atol=0.02)
