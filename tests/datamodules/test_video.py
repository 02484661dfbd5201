"""Videos come out at 25 fps whatever goes in; damaged files are a reason; writing is whole or nothing."""

import contextlib
import errno
import gc
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from conventions.errors import RejectedClip, UserError
from datamodules.audio import read_audio
from datamodules.video import iterate_frames, probe, read_video
from datamodules.video_writer import VideoWriter, write_video


def stripes(frames: int, size: int = 32) -> np.ndarray:
    """uint8 frames whose grey value is 2 x their number."""
    return np.broadcast_to((2 * np.arange(frames, dtype=np.uint8))[:, None, None, None], (frames, size, size, 3)).copy()


def write_at(path: Path, times_ms: list[int]) -> None:
    """A video whose frame i is shown from times_ms[i]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pixels, time in zip(stripes(len(times_ms)), times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_frames_that_were_shown_are_freed_at_once(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", np.zeros((40, 64, 64, 3), np.uint8))
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
        for frame in iterate_frames(tmp_path / "a.mp4"):
            frame.rgb()
        del frame
        assert sum(isinstance(each, av.VideoFrame) for each in gc.get_objects()) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("fps", [15, 24, 25, 30, 50, 60])
def test_the_nearest_source_frame_is_shown(tmp_path: Path, fps: int) -> None:
    write_video(tmp_path / "v.mp4", stripes(2 * fps), fps=fps)
    indices = np.array([frame.source_index for frame in iterate_frames(tmp_path / "v.mp4")])
    assert len(indices) == 50
    times = np.arange(50) / 25
    assert np.abs(indices / fps - times).max() <= 0.5 / fps + 1e-3
    grey = read_video(tmp_path / "v.mp4").mean(axis=(1, 2, 3))
    np.testing.assert_allclose(grey, 2 * indices, atol=2)


def test_variable_rate(tmp_path: Path) -> None:
    write_at(tmp_path / "v.mp4", [0, 40, 50, 60, 200, 240])
    indices = [frame.source_index for frame in iterate_frames(tmp_path / "v.mp4")]
    assert indices[:7] == [0, 1, 3, 3, 4, 4, 5]


def test_a_hole_in_time_is_a_reason(tmp_path: Path) -> None:
    write_at(tmp_path / "v.mp4", [0, 40, 3_600_000])
    with pytest.raises(RejectedClip) as error:
        list(iterate_frames(tmp_path / "v.mp4"))
    assert error.value.reason == "broken_timestamps"


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_an_mp4_cut_in_half_is_a_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "index_first.mp4", noise)
    write_at(tmp_path / "index_last.mp4", list(range(0, 2000, 40)))
    reasons = []
    for name in ("index_first.mp4", "index_last.mp4"):
        cut_in_half(tmp_path / name)
        with pytest.raises(RejectedClip, match=name) as error:
            read_video(tmp_path / name)
        assert "\n" not in str(error.value)
        reasons.append(error.value.reason)
    assert set(reasons) <= {"truncated", "unreadable"}


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty_file"), (b"no video at all" * 50, "unreadable")])
def test_what_is_no_video_is_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    with pytest.raises(RejectedClip) as error:
        read_video(tmp_path / "v.mp4")
    assert error.value.reason == reason


def test_a_region_is_the_picture_cut(tmp_path: Path) -> None:
    smooth = (np.mgrid[:64, :96].transpose(1, 2, 0) @ np.array([[2, 1, 0], [0, 1, 2]])).astype(np.uint8)
    write_video(tmp_path / "v.mp4", smooth[None].repeat(3, axis=0), crf=5)
    frame = next(iterate_frames(tmp_path / "v.mp4"))
    whole = frame.rgb().astype(int)
    for box in ((11, 7, 51, 39), (-5, -5, 200, 200), (80, 50, 96, 64)):
        part, left, top = frame.region(*box)
        assert left <= max(box[0], 0)
        assert top <= max(box[1], 0)
        expected = whole[top : top + part.shape[0], left : left + part.shape[1]]
        assert part.shape[0] + top >= min(box[3], 64)
        assert np.abs(part[:, 2:-2].astype(int) - expected[:, 2:-2]).max() <= 2


def test_probe(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", stripes(30, 48)[:, :32], fps=30)
    info = probe(tmp_path / "v.mp4")
    assert (info.width, info.height, info.frames) == (48, 32, 30)
    assert info.seconds == pytest.approx(1.0)


def test_writing_in_pieces_is_writing_at_once(tmp_path: Path) -> None:
    frames = stripes(12)
    write_video(tmp_path / "once.mp4", frames)
    with VideoWriter(tmp_path / "pieces.mp4", 32, 32) as writer:
        writer.add_frames(frames[:5])
        writer.add_frames(frames[5:])
    assert (tmp_path / "once.mp4").read_bytes() == (tmp_path / "pieces.mp4").read_bytes()


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "v.mp4", 32, 32) as writer:
            writer.add_frames(stripes(3))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"v\.mp4: the disk is full"):
        write_video(tmp_path / "v.mp4", stripes(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_flipped_bytes_are_a_record_or_a_reason(tmp_path: Path) -> None:
    """Random damage never raises anything but a `RejectedClip`, and never takes long."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 255, (20, 4, 4, 3)).astype(np.uint8).repeat(16, 1).repeat(16, 2)
    write_video(tmp_path / "v.mp4", blocks, audio=np.sin(np.arange(12800) / 9).astype(np.float32))
    sound = (tmp_path / "v.mp4").read_bytes()
    for _ in range(200):
        content = bytearray(sound)
        for place in random.integers(len(content), size=random.integers(1, 12)):
            content[place] = random.integers(256)
        (tmp_path / "damaged.mp4").write_bytes(content)
        for reader in (read_video, read_audio, probe):
            began = time.monotonic()
            with contextlib.suppress(RejectedClip):
                reader(tmp_path / "damaged.mp4")
            assert time.monotonic() - began < 20
