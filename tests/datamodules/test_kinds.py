"""Unusual files: each kind becomes a record of the right length, or has its reason."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from datamodules.audio import write_audio
from datamodules.prepare import prepare
from datamodules.prepare_report import PrepareReport
from datamodules.store import Store
from datamodules.video_writer import VideoWriter, write_video

Clip = Callable[..., None]
Mat = Callable[..., np.ndarray]


def brightening(frames: int, height: int = 64, width: int = 64) -> np.ndarray:
    """Grey frames [frames, height, width, 3], each brighter than the last, the left half darker than the right."""
    grey = np.linspace(60, 200, frames)[:, None, None, None] + np.zeros((1, height, width, 3))
    grey[:, :, : width // 2] -= 40
    return grey.astype(np.uint8)


def write_grey(path: Path, frames: int) -> None:
    """8 bits of grey and no colour planes."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="gray")
        for picture in brightening(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[..., 0]), format="gray8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_uneven(path: Path, frames: int) -> None:
    """Frames 20 ms and 60 ms apart in turn: 25 a second on average."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, width=64, height=64, pix_fmt="yuv420p")
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(brightening(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 40 * number - 20 * (number % 2), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, write_clip: Clip, write_mat: Mat) -> tuple[Store, PrepareReport]:
    """A store of one clip of each kind, and its report."""
    raw = tmp_path_factory.mktemp("kinds")
    for fps in (15, 25, 60):
        write_clip(raw / f"rate_{fps}", fps, fps=fps)
    write_clip(raw / "mute", 25, sound=False)
    write_clip(raw / "one_frame", 1)
    write_video(raw / "vertical.mp4", brightening(25, 96, 48))
    write_mat(raw / "vertical.mat", 25, 48, 96)
    write_grey(raw / "grey.mp4", 25)
    write_mat(raw / "grey.mat", 25)
    write_uneven(raw / "uneven.mp4", 26)
    write_mat(raw / "uneven.mat", 26)
    write_clip(raw / "empty", 25)
    (raw / "empty.mp4").write_bytes(b"")
    write_clip(raw / "truncated", 25, sound="inside")
    (raw / "truncated.mp4").write_bytes((raw / "truncated.mp4").read_bytes()[:-2000])
    write_audio(raw / "sound_only.wav", np.zeros(16000, np.float32))
    report = prepare(raw, raw / "store", coefficients="mat", size=32, look=False)
    return Store(raw / "store"), report


@pytest.mark.parametrize("kind", ["rate_15", "rate_25", "rate_60", "mute", "vertical", "grey"])
def test_a_second_of_any_kind_is_25_frames(kinds: tuple[Store, PrepareReport], kind: str) -> None:
    (clip,) = [clip for clip in kinds[0].clips if clip.id == kind]
    assert clip.length == 25
    brightness = kinds[0].frames(clip, range(25)).astype(float).mean(axis=(1, 2, 3))
    assert (np.diff(brightness) > -0.5).all(), "the pictures brighten"
    assert brightness[-1] > brightness[0] + 50


def test_uneven_times_are_evened(kinds: tuple[Store, PrepareReport]) -> None:
    (clip,) = [clip for clip in kinds[0].clips if clip.id == "uneven"]
    assert 25 <= clip.length <= 27
    brightness = kinds[0].frames(clip, range(25)).astype(float).mean(axis=(1, 2, 3))
    expected = np.linspace(60, 200, 26)[:25] - 20
    assert np.abs(brightness - expected).max() < 9, "the nearest source frame is at most 20 ms (5.6 grey) away"


def test_upright_pictures_keep_left_and_right(kinds: tuple[Store, PrepareReport]) -> None:
    for kind in ("vertical", "grey"):
        (clip,) = [clip for clip in kinds[0].clips if clip.id == kind]
        picture = kinds[0].frames(clip, [12])[0].astype(int)
        assert picture[:, 20:].mean() > picture[:, :12].mean() + 25
        assert np.ptp(picture, axis=-1).max() < 12, "grey stays grey"


def test_what_is_no_clip_has_its_reason(kinds: tuple[Store, PrepareReport]) -> None:
    reasons = {item["path"]: item["reason"] for item in kinds[1].details}
    assert reasons.pop("truncated.mp4") in ("truncated", "unreadable")
    assert reasons == {"one_frame.mp4": "too_short", "empty.mp4": "empty_file", "sound_only.wav": "no_video"}


@pytest.mark.slow
def test_ten_minutes(tmp_path: Path, write_mat: Mat) -> None:
    frames = 10 * 60 * 25
    with VideoWriter(tmp_path / "raw" / "long.mp4", 64, 64, sample_rate=16000) as writer:
        for minute in range(10):
            writer.add_frames(brightening(frames // 10))
            hum = np.sin(np.arange(60 * 16000) * (0.1 + minute / 100)).astype(np.float32)
            writer.add_audio(hum)
    write_mat(tmp_path / "raw" / "long.mat", frames)
    prepare(tmp_path / "raw", tmp_path / "store", coefficients="mat", size=32, look=False, workers=1)
    store = Store(tmp_path / "store")
    assert abs(store.clips[0].length - frames) <= 2
    assert store.clips[0].has_audio
