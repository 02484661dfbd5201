"""One pass over two videos: the face that is followed, and where a generated frame lies in the true one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from datamodules.video_writer import write_video
from emospace.scoring.clips import share_beyond
from emospace.scoring.media import CutFrames, Media, Still, WholeFrames
from emospace.scoring.tracking import Track, Tracked, place, track
from metrics.face_clip import GREY


def shape(seed: int = 0) -> np.ndarray:
    """68 landmarks about (0, 0), some units wide."""
    return np.random.default_rng(seed).uniform(-1, 1, (68, 2))


class Script:
    """Finds the given faces, frame by frame: (centre in px, half size in px)."""

    def __init__(self, frames: list[list[tuple[float, float, float]]]) -> None:
        self._frames: Iterator[list[tuple[float, float, float]]] = iter(frames)

    def faces(self, pixels: np.ndarray) -> list[np.ndarray]:
        size = np.array([pixels.shape[1], pixels.shape[0]])
        found = sorted(next(self._frames), key=lambda face: -face[2])
        return [(np.array([x, y]) + half * shape()) / size * 2 - 1 for x, y, half in found]


def tracked(frames: list[list[tuple[float, float, float]]], size: tuple[int, int]) -> Track:
    made = Track(Script(frames))
    for _ in frames:
        made.add(Still(np.zeros((size[1], size[0], 3), np.uint8)))
    return made


def test_the_largest_face_of_the_first_frame_is_followed_even_where_another_grows_larger() -> None:
    frames = [
        [(30, 30, 12), (80, 30, 10)],
        [(32, 30, 12), (78, 30, 15)],
        [(34, 30, 12)],
        [],
        [(36, 30, 12), (70, 30, 20)],
    ]
    found = tracked(frames, (100, 60))
    centres = found.pixels.mean(axis=1)
    np.testing.assert_allclose(centres[[0, 1, 2, 4], 0] - centres[0, 0], [0, 2, 4, 6], atol=1e-4)
    assert found.found.tolist() == [True, True, True, False, True]
    assert found.rivals == 3


def together(made: Track, true: Track) -> Tracked:
    return Tracked(made, true, (len(made.found), len(true.found)))


@pytest.mark.parametrize(
    ("made", "size", "scale", "registered"),
    [
        ((50.0, 40.0, 20.0), (120, 80), (1.0, 1.0), False),
        ((100.0, 80.0, 40.0), (240, 160), (0.5, 0.5), False),
        ((50.0, 80.0, 20.0), (120, 160), (1.0, 0.5), None),
        ((56.0, 56.0, 40.0), (112, 112), (0.5, 0.5), True),
    ],
)
def test_a_frame_of_another_size_is_the_same_frame_or_a_crop(
    made: tuple[float, float, float], size: tuple[int, int], scale: tuple[float, float], registered: bool | None
) -> None:
    true = tracked([[(50, 40, 20)]] * 5, (120, 80))
    found = place(together(tracked([[made]] * 5, size), true))
    assert found is not None
    if registered is None:  # a face that keeps its shape in a frame that does not: a crop
        assert found.registered
        return
    assert found.registered is registered
    assert found.scale == pytest.approx(scale)
    if registered:
        points = tracked([[made]], size).pixels[0] * found.scale + found.shift
        np.testing.assert_allclose(points, true.pixels[0], atol=0.01)


def test_a_stretched_frame_is_the_same_frame() -> None:
    class Stretched(Script):
        def faces(self, pixels: np.ndarray) -> list[np.ndarray]:
            return [np.array([0.1, -0.1]) + 0.3 * shape()]

    sides = Track(Stretched([])), Track(Stretched([]))
    for side, size in zip(sides, ((100, 100), (160, 100)), strict=True):
        side.add(Still(np.zeros((size[1], size[0], 3), np.uint8)))
    found = place(together(*sides))
    assert found is not None
    assert not found.registered
    assert found.scale == (1.6, 1.0)


def test_without_a_face_only_the_same_shape_can_be_placed() -> None:
    true = tracked([[(50, 40, 20)]] * 3, (120, 80))
    none = [[]] * 3
    assert place(together(tracked(none, (112, 112)), true)) is None
    scaled = place(together(tracked(none, (60, 40)), true))
    assert scaled is not None
    assert scaled.scale == (2, 2)


def test_videos_are_cut_part_by_part_with_grey_beyond_syncs_frame(tmp_path: Path) -> None:
    frames = np.zeros((40, 64, 96, 3), np.uint8)
    frames[:, 16:48, 32:64] = 200
    write_video(tmp_path / "clip.mp4", frames, crf=1)
    media = Media(tmp_path / "clip.mp4")
    windows = np.tile([[48.0, 32.0, 16.0]], (40, 1))
    windows[20:] = [0.0, 0.0, 32.0]
    cut = CutFrames(media, 33, (48.0, 32.0, 16.0), 256, windows, (96, 64))
    parts = list(cut)
    assert [len(part.pictures) for part in parts] == [32, 1]
    assert abs(int(parts[0].pictures[5, 0, 128, 128]) - 200) < 4
    sync = parts[0].sync
    assert sync is not None
    assert abs(int(sync[5, 0, 112, 112]) - 200) < 4
    assert int(sync[25, 0, 10, 10]) == round((GREY + 1) * 127.5)
    assert int(sync[25, 0, 130, 130]) < 4
    whole = WholeFrames(media, 40, (48, 32))
    assert sum(len(part.pictures) for part in whole) == 40
    assert next(iter(whole)).pictures.shape[1:] == (3, 32, 48)


def test_what_lies_beyond_a_frame_is_measured() -> None:
    assert share_beyond((50.0, 40.0, 20.0), (100, 80)) == pytest.approx(0)
    assert share_beyond((0.0, 40.0, 20.0), (100, 80)) == pytest.approx(0.5)
    assert share_beyond((50.0, 40.0, 80.0), (100, 80)) == pytest.approx(1 - 8000 / 25600)
    assert share_beyond((-50.0, 40.0, 20.0), (100, 80)) == 1


def test_fifteen_frames_a_second_meet_those_of_twenty_five(tmp_path: Path) -> None:
    for name, fps in (("made", 15), ("true", 25)):
        write_video(tmp_path / f"{name}.mp4", np.zeros((2 * fps, 32, 32, 3), np.uint8), fps=fps)
    seen = []
    found = track(Media(tmp_path / "made.mp4"), Media(tmp_path / "true.mp4"), None, seen.append)
    assert found.lengths == (50, 50)
    assert seen[-1] == 50
    assert not found.true.found.any()
