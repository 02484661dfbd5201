"""The offset of audio from image is measured, recorded and taken out."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from conventions.rates import SAMPLE_RATE
from datamodules.audio import shifted, write_audio
from datamodules.offsets import lag_between
from datamodules.prepare import prepare
from datamodules.store import Store, describe
from datamodules.video_writer import write_video

FRAMES = 30
CLICK = 0.5
"""Where the burst of noise begins, in s of the image's time."""


def burst(seconds: float = FRAMES / 25, seed: int = 0) -> np.ndarray:
    """Noise that begins at `CLICK`."""
    sound = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
    sound[: round(CLICK * SAMPLE_RATE)] = 0
    return sound


def onset(store: Store, identifier: str) -> float:
    """When the burst begins in a stored clip, in s."""
    (clip,) = [clip for clip in store.clips if clip.id == identifier]
    return np.argmax(np.abs(store.audio[clip.rows].reshape(-1)) > 1000) / SAMPLE_RATE


def write_late(path: Path, sound: np.ndarray, seconds: float) -> None:
    """A video whose PCM audio starts `seconds` after its video by the time stamps (before it where negative)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="yuv420p")
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        first = max(-seconds, 0.0)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round((first + number / 25) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        samples = av.AudioFrame.from_ndarray((sound[None] * 32767).astype(np.int16), format="s16", layout="mono")
        samples.sample_rate, samples.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        samples.pts = round((first + seconds) * SAMPLE_RATE)
        container.mux(audio.encode(samples))
        for stream in (video, audio):
            container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, write_mat) -> Store:
    """Audio late and early inside the file; a file beside it that is late against the track, or of something else."""
    raw = tmp_path_factory.mktemp("offsets")
    write_late(raw / "late.mkv", burst()[1600:], 0.1)
    write_late(raw / "early.mkv", shifted(burst(), 0.2), -0.2)
    pictures = np.full((FRAMES, 64, 64, 3), 90, np.uint8)
    for name in ("beside", "other", "alone"):
        write_video(raw / f"{name}.mp4", pictures, audio=None if name == "alone" else burst())
    write_audio(raw / "beside.wav", shifted(burst(), 0.021))
    write_audio(raw / "other.wav", burst(seed=1))
    write_audio(raw / "alone.wav", burst())
    for path in list(raw.iterdir()):
        if path.suffix != ".wav":
            write_mat(path.with_suffix(".mat"), FRAMES)
    prepare(raw, raw / "store", coefficients="mat", size=32, look=False)
    return Store(raw / "store")


def test_offsets_are_recorded(store: Store) -> None:
    assert store.sound_offsets.keys() == {"late", "early", "beside"}, "of the others nothing can be measured"
    expected = {"late": 0.1, "early": -0.2, "beside": -0.021}
    assert store.sound_offsets == pytest.approx(expected, abs=1.5e-3)
    told = describe(store)["audio_offset_ms"]
    assert told == pytest.approx({"measured": 3, "least": -200, "median": -21, "greatest": 100}, abs=1.5)


@pytest.mark.parametrize("name", ["late", "early", "beside", "other", "alone"])
def test_offsets_are_taken_out(store: Store, name: str) -> None:
    assert onset(store, name) == pytest.approx(CLICK, abs=2e-3)


def test_trimming_follows_the_offset(store: Store) -> None:
    lengths = {clip.id: clip.length for clip in store.clips}
    assert lengths["late"] == FRAMES, "0.1 s late and 0.1 s shorter: it ends with the picture"
    assert lengths["beside"] == FRAMES
    assert lengths["early"] == FRAMES


def test_they_are_no_part_of_the_hash_and_survive_a_second_preparation(store: Store, tmp_path: Path) -> None:
    raw = Path(shutil.copytree(store.path.parent, tmp_path / "raw"))
    shutil.move(raw / "store", tmp_path / "store")
    (raw / "alone.mp4").unlink()
    again = prepare(raw, tmp_path / "store", coefficients="mat", size=32, look=False)
    assert (again.prepared, again.clips) == (0, 4), "copied files keep their times"
    assert Store(tmp_path / "store").sound_offsets == store.sound_offsets


@pytest.mark.parametrize("lag", [0, 1, -1, 743, -9000])
def test_the_lag_is_found_to_a_sample(lag: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    moved = shifted(sound, -lag / SAMPLE_RATE)
    assert lag_between(moved, sound) == pytest.approx(lag / SAMPLE_RATE)
    assert lag_between(moved, np.random.default_rng(1).normal(0, 0.1, 32000).astype(np.float32)) is None
    assert lag_between(0 * moved, sound) is None
