"""Images by their times and as a player shows them: holes, doubles, disorder, mirrors, alpha."""

import itertools
import warnings
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_media import set_matrix, write_pictures

from conventions.errors import MediaWarning, RejectedClip
from datamodules.pictures import BACKGROUND
from datamodules.video import iterate_frames, probe, read_video
from datamodules.video_writer import write_video


def numbers(path: Path) -> list[int]:
    """Number of the written frame that each output frame shows, by its grey value."""
    return [round((frame.mean() - 10) / 2) for frame in read_video(path)]


def test_frames_out_of_order_are_shown_by_their_times(tmp_path: Path) -> None:
    order = [0, 1, 3, 2, 4, 7, 5, 6, 8, 9]
    write_pictures(tmp_path / "v.mkv", [0.04 * place for place in order])
    with pytest.warns(MediaWarning, match="3 out of order"):
        shown = numbers(tmp_path / "v.mkv")
    assert shown == np.argsort(order).tolist()


def test_doubled_frames_do_not_shift_the_others(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v.mkv", [0, 0.04, 0.04, 0.08, 0.12, 0.12, 0.12, 0.16])
    with pytest.warns(MediaWarning, match="3 doubled"):
        assert numbers(tmp_path / "v.mkv") == [0, 1, 3, 4, 7]


def test_missing_frames_are_bridged_and_reported(tmp_path: Path) -> None:
    times = [0.04 * number for number in range(30) if not 8 <= number < 14]
    write_pictures(tmp_path / "v.mkv", times)
    with pytest.warns(MediaWarning, match=r"missing \(0\.24 s in 1 places\)"):
        shown = numbers(tmp_path / "v.mkv")
    assert shown[:8] == list(range(8))
    assert set(shown[8:14]) <= {7, 8}
    assert shown[14:] == list(range(8, 24))


@pytest.mark.parametrize("fps", [10, 12.5, 24, 29.97, 50])
def test_a_steady_rate_is_not_reported(fps: float, tmp_path: Path) -> None:
    write_pictures(tmp_path / "v.mkv", [round(number / fps, 3) for number in range(20)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(numbers(tmp_path / "v.mkv")) == pytest.approx(20 / fps * 25, abs=1)


def test_a_late_start_is_time_zero(tmp_path: Path) -> None:
    write_pictures(tmp_path / "v.mkv", [3 + 0.04 * number for number in range(10)])
    assert numbers(tmp_path / "v.mkv") == list(range(10))


def corners(height: int = 32, width: int = 64) -> np.ndarray:
    """An image whose four quarters differ."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = (220, 0, 0), (0, 220, 0)
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = (0, 0, 220), (220, 220, 220)
    return picture


@pytest.mark.parametrize("stretch", [1, 2])
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
    ],
)
def test_every_display_matrix(matrix, shown, stretch, tmp_path) -> None:
    path = tmp_path / "v.mp4"
    write_stretched(path, corners(), Fraction(stretch))
    set_matrix(path, matrix)
    expected = shown(corners().repeat(stretch, axis=1))
    read = read_video(path)[0]
    assert read.shape == expected.shape
    assert np.mean(np.abs(read.astype(int) - expected) > 40) < 0.15
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    assert next(iterate_frames(path)).rgb(16).shape[:2] == tuple(
        16 * side // max(expected.shape) for side in expected.shape[:2]
    )


def write_stretched(path: Path, picture: np.ndarray, aspect: Fraction) -> None:
    """Ten frames of one image with pixels of that width over height."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(8, 9), Fraction(1, 2), Fraction(3)])
def test_pixels_that_are_not_square(aspect: Fraction, tmp_path: Path) -> None:
    write_stretched(tmp_path / "v.mkv", corners(36, 90), aspect)
    frame = next(iterate_frames(tmp_path / "v.mkv"))
    assert frame.size == (round(90 * aspect), 36)
    part, left, top = frame.region(4, 4, 20, 20)
    assert (part == frame.rgb()[top : top + part.shape[0], left : left + part.shape[1]]).all()


def test_an_impossible_header_is_a_reason(tmp_path: Path) -> None:
    write_stretched(tmp_path / "wide.mp4", corners(), Fraction(20))
    write_stretched(tmp_path / "v.mp4", corners(), Fraction(1))
    set_matrix(tmp_path / "v.mp4", (3, 2, -2, 3))
    for name in ("wide.mp4", "v.mp4"):
        with pytest.raises(RejectedClip, match=name):
            read_video(tmp_path / name)


def test_transparent_pictures_are_composed(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "rgba"
        pixels = np.zeros((32, 32, 4), np.uint8)
        pixels[:16] = (200, 0, 0, 255)
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode(None))
    read = read_video(tmp_path / "v.mov")[0]
    assert (read[:16] == (200, 0, 0)).all()
    assert (read[16:] == BACKGROUND).all()


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "take:1.mp4", "file:x.mp4", "%03d.mp4", "a b|$~.mp4", "http:.mp4", "-i.mp4"]
)
def test_any_name_is_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path(name), corners()[None].repeat(3, axis=0), audio=np.zeros(1920, np.float32))
    assert (tmp_path / name).is_file()
    assert len(read_video(Path(name))) == 3


@pytest.mark.real
@pytest.mark.parametrize("name", ["hflip.mp4", "sar.mp4", "anam.mp4"])
def test_real_geometry(name: str, real_data: Path) -> None:
    """Against FFmpeg's own filters on the stored images."""
    path = real_data / "cases" / name
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        size = round(stream.width * (stream.sample_aspect_ratio or 1)), stream.height
        stored = [frame.reformat(*size, format="rgb24").to_ndarray() for frame in container.decode(stream)]
    for frame in itertools.islice(iterate_frames(path), 5):
        expected = stored[frame.source_index][:, :: -1 if name == "hflip.mp4" else 1]
        assert np.abs(frame.rgb().astype(int) - expected).max() <= 2
