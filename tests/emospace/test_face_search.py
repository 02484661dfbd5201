"""Faces of any size and place in an image: with a detector of red rectangles, and with MediaPipe."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import ndimage
from skimage.data import astronaut

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from emospace.talking.face_search import MOST_FACES, search_faces
from emospace.talking.portrait import read_portrait
from face3d.landmarker import Landmarker
from face3d.morphable import load_model

FACE = (181, 87, 270, 178)
"""(left, top, right, bottom) of the astronaut's landmarks."""


class Rectangles(Landmarker):
    """Finds red rectangles of 1/8 to 3/4 of the image's longer side, wherever they lie whole in it."""

    def __init__(self) -> None:
        self.looked = 0

    def detect(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "68 2"]]:
        self.looked += 1
        height, width = picture.shape[:2]
        places = ndimage.find_objects(ndimage.label((picture == [255, 0, 0]).all(-1))[0])
        boxes = [(x.start, y.start, x.stop, y.stop) for y, x in places]
        sizes = [(right - left) / max(height, width) for left, _, right, _ in boxes]
        steps = np.linspace(0, 1, 68, dtype=np.float32)[:, None]
        return [
            np.float32([box[0] / width, box[1] / height])
            + steps * np.float32([(box[2] - box[0]) / width, (box[3] - box[1]) / height])
            for box, size in zip(boxes, sizes, strict=True)
            if 1 / 8 <= size <= 3 / 4
        ]


def painted(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    picture = np.full((height, width, 3), 90, np.uint8)
    for left, top, right, bottom in boxes:
        picture[top:bottom, left:right] = (255, 0, 0)
    return picture


def boxes_of(faces: list[np.ndarray]) -> list[tuple[int, ...]]:
    return [tuple(np.round([*face.min(0), *face.max(0)]).astype(int).tolist()) for face in faces]


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        ((100, 100), [(30, 40, 60, 70)]),
        ((100, 400), [(310, 20, 350, 70)]),
        ((100, 400), [(20, 20, 60, 60), (220, 30, 260, 70)]),
        ((400, 100), [(20, 300, 50, 340)]),
        ((100, 100), [(0, 0, 95, 95)]),
        ((400, 400), [(50, 60, 90, 100), (250, 60, 285, 100), (150, 300, 190, 340)]),
        ((401, 399), [(300, 300, 330, 330)]),
    ],
)
def test_faces_are_found_wherever_they_lie(shape: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> None:
    found = boxes_of(search_faces(Rectangles(), painted(*shape, *boxes)))
    assert sorted(found) == sorted(boxes)
    widths = [right - left for left, _, right, _ in found]
    assert widths == sorted(widths, reverse=True)


def test_faces_in_the_background_do_not_count() -> None:
    assert boxes_of(search_faces(Rectangles(), painted(200, 200, (20, 20, 100, 100), (150, 150, 180, 180)))) == [
        (20, 20, 100, 100)
    ]


def test_a_face_that_is_seen_at_once_costs_one_look() -> None:
    landmarker = Rectangles()
    search_faces(landmarker, painted(200, 200, (20, 20, 100, 100)))
    assert landmarker.looked == 1
    assert search_faces(landmarker, painted(200, 200)) == []


@pytest.fixture(scope="module")
def landmarker(real_weights: Path) -> Landmarker:
    return Landmarker(real_weights / LANDMARKER.name, MOST_FACES)


def moved(x: int, y: int) -> list[int]:
    return [FACE[0] + x, FACE[1] + y, FACE[2] + x, FACE[3] + y]


@pytest.mark.real
def test_real_faces(landmarker: Landmarker) -> None:
    """Two beside each other, one in a panorama, at the borders, larger than the image; none in a stamp."""
    picture = astronaut()
    wide = np.full((512, 2048, 3), 127, np.uint8)
    wide[:, 1400:1912] = picture
    cases = [
        (picture, [moved(0, 0)]),
        (np.concatenate([picture, picture], 1), [moved(0, 0), moved(512, 0)]),
        (wide, [moved(1400, 0)]),
        (picture[90:], [moved(0, -90)]),
        (picture[:, 200:], [moved(-200, 0)]),
        (picture[85:160, 190:262].repeat(4, 0).repeat(4, 1), [[4 * v for v in moved(-190, -85)]]),
        (picture[300:], []),
    ]
    for shown, boxes in cases:
        found = sorted(boxes_of(search_faces(landmarker, shown)))
        assert len(found) == len(boxes)
        for box, expected in zip(found, boxes, strict=True):
            assert np.abs(np.subtract(box, expected)).max() < 0.3 * (expected[2] - expected[0])


@pytest.mark.real
def test_pictures_that_cannot_talk_are_one_line(tmp_path: Path, real_weights: Path) -> None:
    picture, model = astronaut(), load_model("procedural-v1")
    cases = [
        (np.concatenate([picture] * 3, 1), "shows 3 faces of similar size; crop it to one"),
        (picture[:120], "the lips of the face are outside the image"),
        (picture[:, :240], "the face is cut off at the border"),
        (picture[::-1, ::-1], "no face found"),
    ]
    for shown in (picture[:, :260], picture[:, 200:]):  # the border is near, and the face is whole
        Image.fromarray(np.ascontiguousarray(shown)).save(tmp_path / "a.png")
        read_portrait(tmp_path / "a.png", model, 64, weights=real_weights)
    for shown, line in cases:
        Image.fromarray(shown).save(tmp_path / "a.png")
        with pytest.raises(UserError, match=line):
            read_portrait(tmp_path / "a.png", model, 64, weights=real_weights)
