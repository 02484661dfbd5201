"""Finding the faces of a portrait, of any size in it, and those that reach far beyond its border.

MediaPipe's face detector sees the whole image at 128 pixels. It misses faces that are smaller than about an eighth of
the image's longer side, and those that fill it.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from face3d.landmarker import Landmarker

MOST_FACES = 10
"""Faces that are detected in an image at most."""

SHRUNK = 2
"""Multiple of the image's sides to which it is padded, so that a face that fills it becomes smaller."""

FINEST = 4
"""The smallest squares that are looked at have this part of the image's longer side."""

SAME = 0.5
"""Two faces are one where their middles are less than this share of the wider one's width apart."""

AGREEMENT = 0.03
"""Greatest mean distance, as a share of the face's width, between the landmarks of a face that is found twice."""

CUT = 0.1
"""The same, beyond which the landmarks of a face at the border are not those of the face: a face that is cut in half
has 0.15, one that is whole at most 0.02, one that is tilted by 60 degrees 0.06."""

NEAR = 0.05
"""A face is at the border where its landmarks come nearer to it than this share of its width."""

LIKE = 0.5
"""A second face counts as being of like size when it is at least this share of the largest one's width."""

Face = Float[np.ndarray, "68 2"]


def search_faces(landmarker: Landmarker, picture: UInt8[np.ndarray, "h w 3"]) -> list[Face]:
    """The 68 iBUG landmarks of the largest face and of all of like size, in pixels from the image's outer corner.

    The whole image is looked at first, then the image padded by its mean colour, then overlapping squares of it.
    The faces are those of the first of these in which there are any; the largest comes first.
    """
    height, width = picture.shape[:2]
    faces = _in(landmarker, picture, (0, 0)) or _padded(landmarker, picture)
    part = 2
    while not faces and part <= FINEST:
        side = max(max(height, width) // part, 1)
        found = [each for place in _squares(height, width, side) for each in _cut(landmarker, picture, place)]
        faces = [
            face for face in _distinct(found) if min(_differences(landmarker, picture, face), default=1) < AGREEMENT
        ]
        part *= 2
    faces = sorted(faces, key=_width, reverse=True)
    return [face for face in faces if _width(face) >= LIKE * _width(faces[0])]


def is_cut(landmarker: Landmarker, picture: UInt8[np.ndarray, "h w 3"], face: Face) -> bool:
    """Whether the border cuts a face, so that its landmarks are not where they are found."""
    size, near = np.array([picture.shape[1], picture.shape[0]]), NEAR * _width(face)
    at_border = bool((face < near).any() or (face > size - near).any())
    return at_border and min(_differences(landmarker, picture, face), default=0) > CUT


def _in(landmarker: Landmarker, picture: np.ndarray, corner: tuple[int, int]) -> list[Face]:
    """Faces of a part of the image whose upper left corner is at `corner` (x, y)."""
    size = np.array([picture.shape[1], picture.shape[0]])
    return [face.astype(np.float64) * size + corner for face in landmarker.detect(picture)]


def _padded(landmarker: Landmarker, picture: np.ndarray) -> list[Face]:
    height, width = picture.shape[:2]
    top, left = (round(side * (SHRUNK - 1) / 2) for side in (height, width))
    canvas = np.empty((height + 2 * top, width + 2 * left, 3), np.uint8)
    canvas[:] = picture.mean((0, 1)).round()
    canvas[top : top + height, left : left + width] = picture
    return _in(landmarker, canvas, (-left, -top))


def _squares(height: int, width: int, side: int) -> Iterator[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of squares that overlap by half and together cover the image."""
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield left, top, min(left + side, width), min(top + side, height)


def _starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [0]
    return np.linspace(0, length - side, -(-2 * (length - side) // side) + 1).round().astype(int).tolist()


def _cut(landmarker: Landmarker, picture: np.ndarray, place: tuple[int, int, int, int]) -> list[tuple[float, Face]]:
    """Faces of a part, each with its distance from the part's middle."""
    left, top, right, bottom = place
    middle = np.array([left + right, top + bottom]) / 2
    faces = _in(landmarker, picture[top:bottom, left:right], (left, top))
    return [(float(np.abs(face.mean(0) - middle).max()), face) for face in faces]


def _distinct(found: list[tuple[float, Face]]) -> list[Face]:
    """Each face once, as it was seen nearest to the middle of a part."""
    faces: list[Face] = []
    for _, face in sorted(found, key=lambda pair: pair[0]):
        reach = [SAME * max(_width(face), _width(other)) for other in faces]
        if all(np.abs(face.mean(0) - o.mean(0)).max() >= r for o, r in zip(faces, reach, strict=True)):
            faces.append(face)
    return faces


def _differences(landmarker: Landmarker, picture: np.ndarray, face: Face) -> list[float]:
    """Mean distance from the landmarks of each face that a square about the face shows, as a share of its width.

    It is large for a face that is upside down.
    """
    (x, y), reach, (height, width) = face.mean(0), _width(face), picture.shape[:2]
    left, top = max(round(x - reach), 0), max(round(y - reach), 0)
    place = (left, top, min(round(x + reach), width), min(round(y + reach), height))
    return [float(np.abs(other - face).mean()) / reach for _, other in _cut(landmarker, picture, place)]


def _width(face: Face) -> float:
    return float(np.ptp(face[:, 0]))
