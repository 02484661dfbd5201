"""Audio against image and mouth, rows of coefficients against frames: what is late is measured and taken out."""

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import scipy.io

from conventions.rates import SAMPLE_RATE
from datamodules import clip_face
from datamodules.audio import mel, shifted, write_audio
from datamodules.catalogue import ClipRecord
from datamodules.clip_face import Face
from datamodules.clip_part import _on_the_mouth
from datamodules.coefficients import read_mat
from datamodules.crop import camera_windows
from datamodules.offsets import MOST_LAG, lag_between, measure_lag, measure_offset, mouth_opening
from datamodules.prepare import prepare
from datamodules.store import Store, describe
from datamodules.video_writer import write_video

LONG = 200


def speech(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise whose loudness follows a mouth that opens and closes at random: opening [t], waveform."""
    random = np.random.default_rng(seed)
    opening = np.convolve(random.uniform(0, 1, LONG + 40), np.hanning(5), "same")[20:-20]
    opening -= opening.min()
    loudness = np.interp(np.arange(LONG * 640) / 640, np.arange(LONG) + 0.5, opening)
    return opening, (0.2 * loudness * random.standard_normal(LONG * 640)).astype(np.float32)


def late(waveform: np.ndarray, frames: int) -> np.ndarray:
    quiet = np.zeros(abs(frames) * 640, np.float32)
    return np.concatenate([quiet, waveform] if frames > 0 else [waveform[-frames * 640 :], quiet])[: len(waveform)]


def columns(waveform: np.ndarray) -> np.ndarray:
    return mel(waveform, LONG).reshape(LONG, 4, 80)


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
    assert measure_lag(np.zeros(LONG), columns(waveform)) is None
    assert MOST_LAG * 2 < 100


@pytest.mark.parametrize("frames", [-6, 1, 6])
def test_frames_without_sound_are_cut_off_and_what_is_left_agrees(frames: int) -> None:
    opening, waveform = speech()
    record = ClipRecord("a", "a", None, None, None, "front", 0, Path("a.mp4"), None, None, "plain")
    landmarks = np.zeros((LONG, 68, 2), np.float32)
    landmarks[:, 45, 0], landmarks[:, 66, 1] = 1, opening
    pictures = [bytes([number]) for number in range(LONG)]
    face = Face((0.0, 0.0, 1.0), pictures, np.zeros((LONG, 3), np.float32), landmarks, None, None)
    if abs(frames) > 2:
        with pytest.warns(match="6 frames (after|before) the mouth; it is moved there"):
            cut, moved, lag = _on_the_mouth(record, face, late(waveform, frames))
    else:
        cut, moved, lag = _on_the_mouth(record, face, late(waveform, frames))
    assert lag == frames
    assert moved is not None
    assert cut.landmarks is not None
    assert len(cut.pictures) == len(cut.landmarks) == LONG - (6 if abs(frames) > 2 else 0)
    assert cut.pictures[0] == bytes([6 if frames == -6 else 0])
    first = cut.pictures[0][0] * 640
    whole = waveform if abs(frames) > 2 else late(waveform, frames)
    count = (len(cut.pictures) - 6) * 640
    np.testing.assert_array_equal(moved[:count], whole[first : first + count])


FRAMES = 100


def opening(frames: int = FRAMES) -> np.ndarray:
    """A mouth that opens and closes as in speech."""
    random = np.random.default_rng(3)
    return np.convolve(random.uniform(0, 0.4, frames + 4), np.ones(3) / 3, "valid")[:frames]


def expression(mouth: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(4)
    mixed = np.outer(mouth, random.standard_normal(64)) + 0.05 * random.standard_normal((len(mouth), 64))
    return mixed.astype(np.float32)


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_the_missing_rows_are_found(first: int) -> None:
    mouth = opening()
    rows = expression(mouth)[first : FRAMES - 3 + first]
    assert measure_offset(mouth, rows, range(FRAMES), 3) == first


def test_rows_that_are_left_over_are_found() -> None:
    mouth = opening(FRAMES + 2)
    assert measure_offset(mouth[2:], expression(mouth), range(FRAMES), -2) == -2


def test_no_offset_is_guessed() -> None:
    mouth, other = opening(), np.random.default_rng(9).standard_normal((FRAMES - 2, 64)).astype(np.float32)
    assert measure_offset(mouth, other, range(FRAMES), 2) is None, "of another face"
    assert measure_offset(np.full(FRAMES, 0.2), expression(mouth)[2:], range(FRAMES), 2) is None, "closed throughout"
    assert measure_offset(mouth[:20], expression(mouth)[2:20], range(20), 2) is None, "too short"


def landmarks(mouth: np.ndarray) -> np.ndarray:
    points = np.tile(np.random.default_rng(0).uniform(10, 50, (68, 2)), (len(mouth), 1, 1))
    points[:, 36], points[:, 45], points[:, 62] = (10, 10), (30, 10), (20, 30)
    points[:, 66] = np.stack([np.full(len(mouth), 20), 30 + 20 * mouth], axis=1)
    return points.astype(np.float32)


def test_the_opening_is_that_of_the_inner_lips() -> None:
    np.testing.assert_allclose(mouth_opening(landmarks(opening())), opening(), atol=1e-5)


def spoken(path: Path, clip: Callable[..., None], lost: int) -> None:
    """A clip whose `.mat` lacks its first rows."""
    clip(path, FRAMES)
    content = scipy.io.loadmat(path.with_suffix(".mat"))
    content["coeff"][:, 80:144] = expression(opening())
    kept = {name: content[name][lost:] for name in ("coeff", "transform_params")}
    scipy.io.savemat(path.with_suffix(".mat"), kept)


def test_missing_rows_shorten_the_clip_at_their_end(
    tmp_path: Path, clip: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_face, "_track", lambda pictures, *_: landmarks(opening())[: len(list(pictures))])
    weights = tmp_path / "face_landmarker.task"
    weights.write_bytes(b"-")
    spoken(tmp_path / "whole" / "talk", clip, 0)
    spoken(tmp_path / "cut" / "talk", clip, 2)
    for name in ("whole", "cut"):
        prepare(tmp_path / name, tmp_path / f"{name}.store", coefficients="mat", size=64, weights=weights)
    whole, cut = Store(tmp_path / "whole.store"), Store(tmp_path / "cut.store")
    assert (whole.num_frames, cut.num_frames) == (FRAMES, FRAMES - 2)
    assert (whole.row_offsets, cut.row_offsets) == ({}, {"talk": 2})
    np.testing.assert_array_equal(cut.coefficients, whole.coefficients[2:])
    np.testing.assert_array_equal(cut.audio, whole.audio[2:])
    difference = cut.frames(cut.clips[0], [0, 50]).astype(int) - whole.frames(whole.clips[0], [2, 52])
    assert np.abs(difference).mean() < 1
    assert describe(cut)["row_offsets"] == {"2": 1}


def test_without_a_measure_the_clip_is_left_out(tmp_path: Path, clip: Callable[..., None]) -> None:
    spoken(tmp_path / "raw" / "talk", clip, 2)
    clip(tmp_path / "raw" / "good", 20)
    report = prepare(tmp_path / "raw", tmp_path / "store", coefficients="mat", size=64)
    assert report.left_out == {"coefficients_mismatch": 1}
    assert (
        "98 rows for 100 frames; measuring which are missing needs the face landmarker" in report.details[0]["detail"]
    )


def test_windows_of_a_file_are_rounded_as_its_maker_does(tmp_path: Path, write_mat: Callable[..., np.ndarray]) -> None:
    for model, rounded in (({}, True), ({"model": "procedural-v1"}, False)):
        write_mat(tmp_path / "a.mat", 3, 61, **model)
        measured = read_mat(tmp_path / "a.mat")
        expected = camera_windows(measured.params, 61, 61, whole_pixels=rounded)
        np.testing.assert_array_equal(measured.windows(61, 61), expected)


@pytest.mark.real
def test_real_rows_begin_two_frames_late(real_data: Path, real_weights: Path, tmp_path: Path) -> None:
    for suffix in (".mp4", ".wav", ".mat"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / f"s{suffix}").write_bytes((real_data / "talking" / f"speaker_3{suffix}").read_bytes())
    prepare(tmp_path / "raw", tmp_path / "store", size=64, weights=real_weights)
    assert Store(tmp_path / "store").row_offsets == {"s": 2}


SHORT = 30
CLICK = 0.5
"""Where the burst of noise begins, in s of the image's time."""


def burst(seconds: float = SHORT / 25, seed: int = 0) -> np.ndarray:
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
        for number in range(SHORT):
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
    pictures = np.full((SHORT, 64, 64, 3), 90, np.uint8)
    for name in ("beside", "other", "alone"):
        write_video(raw / f"{name}.mp4", pictures, audio=None if name == "alone" else burst())
    write_audio(raw / "beside.wav", shifted(burst(), 0.021))
    write_audio(raw / "other.wav", burst(seed=1))
    write_audio(raw / "alone.wav", burst())
    for path in list(raw.iterdir()):
        if path.suffix != ".wav":
            write_mat(path.with_suffix(".mat"), SHORT)
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
    assert lengths["late"] == SHORT, "0.1 s late and 0.1 s shorter: it ends with the picture"
    assert lengths["beside"] == SHORT
    assert lengths["early"] == SHORT


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
