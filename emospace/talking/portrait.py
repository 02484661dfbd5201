"""A portrait: its image at the video's size, and the face in it as the networks take it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from conventions.errors import UserError
from conventions.files import reason_of
from conventions.weights import LANDMARKER
from datamodules.coefficients import fit, read_mat
from datamodules.crop import align, camera_windows, fixed_crop, placement, to_crop
from datamodules.mead import Reference
from datamodules.pictures import BACKGROUND, FORMATS, read_picture
from emospace.talking.face_search import MOST_FACES, is_cut, search_faces
from emospace.talking.square import Square, cut_square
from face3d.camera import CROP_WIDENING, default_placement, project, rotation
from face3d.camera import angles as angles_of
from face3d.coefficients import ANGLE, TRANSLATION, split
from face3d.landmarker import Landmarker
from face3d.morphable import MorphableModel, keypoint_model

MOST_PIXELS = 2160
"""Longest side of a video; larger portraits are made smaller."""
LEAST_PIXELS = 16
"""Least side of a video."""

FARTHEST_TURN = math.radians(60)
"""A face turned farther from the camera than this shows too little of one side."""

LANDMARKS_SUFFIX = ".landmarks.json"
"""In place of an image's own suffix: the file of its landmarks, where a detector has measured them beforehand."""
LEAST_INSIDE = 0.5
"""Share of the landmarks of a face, of its eyes and of its mouth, that lie in its image."""

DETECTED_AT = 256
"""Images with a longest side below this are enlarged to it before a face is looked for."""


@dataclass(frozen=True)
class Frame:
    """What of a portrait is shown: `crop` for the square of the face, else the whole; `size` of the longer side."""

    crop: bool = False
    size: int | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not LEAST_PIXELS <= self.size <= MOST_PIXELS:
            raise UserError(f"size: {self.size} is outside {LEAST_PIXELS}..{MOST_PIXELS} pixels")
        if self.size is not None and self.size % 2:
            raise UserError(f"size: {self.size} is odd; video needs even sizes, such as {self.size + 1}")


@dataclass(frozen=True)
class Face:
    """A face in an image: its square, coefficients as seen in it, and how far its landmarks lie from the model's."""

    square: Square
    coefficients: Float[Tensor, "257"]
    correction: Float[Tensor, "68 2"]
    """Detected minus projected landmarks in the square's normalised coordinates; 0 where none were detected."""


@dataclass(frozen=True)
class Portrait:
    """All that videos of a portrait need."""

    path: Path
    picture: UInt8[np.ndarray, "h w c"]
    """RGB or RGBA at the video's size, even in height and width."""
    square: Square
    """Where the face lies in `picture`."""
    reference: Reference
    """The square at the training resolution, with the face's coefficients."""
    correction: Float[Tensor, "68 2"]


def read_portrait(
    path: Path,
    model: MorphableModel,
    resolution: int,
    frame: Frame = Frame(),
    weights: Path | None = None,
    background: tuple[int, int, int] = BACKGROUND,
    alpha: bool = False,
) -> Portrait:
    """The portrait in an image, measured with `model`; the networks see its face at `resolution` pixels.

    A `.mat` of the same name beside the image (`coeff`, `transform_params`) is used where it is of that model;
    otherwise the model is fitted to the landmarks of a `.landmarks.json` of the same name (see `read_landmarks`), or to
    those that MediaPipe finds. Transparent parts show `background`, or
    stay transparent with `alpha`. UserError when there is no face, more than one of like size, or one in profile.
    """
    picture = read_picture(path, background)
    face = find_face(picture, path, model, weights)
    reference = _reference(path, picture, face, resolution)
    if alpha and (transparent := _transparent(path, background)) is not None:
        picture = transparent
    picture, square = _framed(picture, face.square, frame)
    return Portrait(path, picture, square, reference, face.correction)


def find_face(picture: UInt8[np.ndarray, "h w 3"], path: Path, model: MorphableModel, weights: Path | None) -> Face:
    """The face of an image, from the `.mat` beside it or from its landmarks."""
    sidecar = path.with_suffix(".mat")
    if sidecar.is_file():
        face = _from_mat(picture.shape[:2], sidecar, model)
    else:
        face = _from_landmarks(picture, path, model, weights)
    yaw = abs(float(face.coefficients[ANGLE][1]))
    if yaw > FARTHEST_TURN:
        line = f"the face is turned by {math.degrees(yaw):.0f} degrees"
        raise UserError(f"{path}: {line}; use an image that shows it from the front or in three-quarter view")
    return face


def _from_mat(shape: tuple[int, int], sidecar: Path, model: MorphableModel) -> Face:
    measured = read_mat(sidecar)
    if measured.model != model.name:
        line = f"holds coefficients of {measured.model}, these weights were trained on {model.name}"
        raise UserError(f"{sidecar}: {line}")
    x, y, half = measured.windows(shape[1], shape[0])[0].tolist()
    row = torch.from_numpy(np.asarray(measured.coefficients[0], np.float32))
    tilt = eye_line(_keypoints(row, model).numpy())
    return Face(Square(x, y, half * CROP_WIDENING, tilt), level(row, tilt), torch.zeros(68, 2))


def _from_landmarks(picture: np.ndarray, path: Path, model: MorphableModel, weights: Path | None) -> Face:
    height, width = picture.shape[:2]
    measured = path.with_suffix(LANDMARKS_SUFFIX)
    points = read_landmarks(measured, width, height) if measured.is_file() else _detect(picture, path, weights)
    _check_parts(path, points, width, height)
    middle, tilt = np.array([width / 2, height / 2]), eye_line(points)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    upright = ((points - middle) @ turn + middle)[None]
    windows = camera_windows(align(upright, width, height), width, height)
    crop = fixed_crop(windows)
    seen = to_crop(upright, crop)
    row = torch.from_numpy(np.asarray(fit(seen, placement(windows, crop), model)[0], np.float32))
    x, y = turn @ (np.array(crop[:2]) - middle) + middle
    return Face(Square(float(x), float(y), crop[2], tilt), row, torch.from_numpy(seen[0]) - _keypoints(row, model))


def read_landmarks(path: Path, width: int, height: int) -> Float[np.ndarray, "68 2"]:
    """The 68 iBUG landmarks of a JSON file (`landmarks`: (x, y) in pixels of the image from its outer corner)."""
    try:
        points = np.array(json.loads(path.read_text(encoding="utf-8"))["landmarks"], np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: contains no readable landmarks ({reason_of(error)})") from error
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise UserError(f"{path}: landmarks have shape {list(points.shape)}; expected 68 finite pairs (x, y)")
    inside = ((points >= 0) & (points <= [width, height])).all(-1)
    if inside.mean() < LEAST_INSIDE:
        raise UserError(f"{path}: most landmarks are outside an image of {width} x {height} pixels")
    return points


def _check_parts(path: Path, points: Float[np.ndarray, "68 2"], width: int, height: int) -> None:
    """UserError where the mouth or the eyes lie beyond the border."""
    inside = np.all((points >= 0) & (points <= [width, height]), axis=-1)
    for part, rows in (("eyes", slice(36, 48)), ("lips", slice(48, 68))):
        if inside[rows].mean() < LEAST_INSIDE:
            raise UserError(f"{path}: the {part} of the face are outside the image; use one that shows the whole face")


def _detect(picture: np.ndarray, path: Path, weights: Path | None) -> Float[np.ndarray, "68 2"]:
    factor = max(1, math.ceil(DETECTED_AT / max(picture.shape[:2])))
    shown = picture.repeat(factor, 0).repeat(factor, 1) if factor > 1 else picture
    with Landmarker(LANDMARKER.find(weights), MOST_FACES) as landmarker:
        faces = search_faces(landmarker, shown)
        cut = len(faces) == 1 and is_cut(landmarker, shown, faces[0])
    if not faces:
        raise UserError(f"{path}: no face found; use an image that shows one face from the front")
    if len(faces) > 1:
        raise UserError(f"{path}: shows {len(faces)} faces of similar size; crop it to one")
    if cut:
        raise UserError(f"{path}: the face is cut off at the border; use an image that shows all of it")
    return faces[0] / factor


def _keypoints(row: Float[Tensor, "257"], model: MorphableModel) -> Float[Tensor, "68 2"]:
    """Landmarks of the model under the placement that every portrait has, in the square's coordinates."""
    parts = split(row[None])
    points = keypoint_model(model).shape(parts.identity, parts.expression)
    return project(points, parts.angle, parts.translation, default_placement(1))[0][0]


def eye_line(points: Float[np.ndarray, "68 2"]) -> float:
    """Angle in rad, clockwise as seen, of the line through the middles of both eyes."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    return math.atan2(float(across[1]), float(across[0]))


def level(row: Float[Tensor, "257"], tilt: float) -> Float[Tensor, "257"]:
    """The coefficients as a camera sees them that is itself turned clockwise by `tilt` about its axis."""
    cos, sin = math.cos(tilt), math.sin(tilt)
    turn = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    turned = row.clone()
    turned[ANGLE] = angles_of(rotation(row[ANGLE].double()) @ turn).float()
    turned[TRANSLATION] = (row[TRANSLATION].double() @ turn).float()
    return turned


def _reference(path: Path, picture: np.ndarray, face: Face, resolution: int) -> Reference:
    return Reference(
        image=cut_square(picture, face.square, resolution),
        coefficients=face.coefficients,
        placement=default_placement(1)[0].clone(),
        clip=path.stem,
        index=0,
    )


def _transparent(path: Path, background: tuple[int, int, int]) -> UInt8[np.ndarray, "h w 4"] | None:
    """An image file as RGBA, with `background` where nothing is seen; None where all is opaque."""
    with Image.open(path, formats=FORMATS) as image:
        if not image.has_transparency_data:
            return None
        pixels = np.array(ImageOps.exif_transpose(image).convert("RGBA"))
    pixels[pixels[..., 3] == 0, :3] = background
    return None if pixels[..., 3].min() == 255 else pixels


def _framed(picture: np.ndarray, square: Square, frame: Frame) -> tuple[np.ndarray, Square]:
    """What is shown, at the video's size, and where the face lies in it."""
    if frame.crop:
        left, top, side = _window(picture.shape[:2], square)
        picture = picture[top : top + side, left : left + side]
        square = Square(square.x - left, square.y - top, square.half, square.roll)
    longer = max(picture.shape[:2])
    wanted = frame.size or min(longer, MOST_PIXELS)
    factor = wanted / longer
    if factor != 1:
        height, width = (max(round(side * factor / 2) * 2, 2) for side in picture.shape[:2])
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
        square = square.scaled(factor)
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    return picture[:height, :width].copy(), square


def _window(shape: tuple[int, int], square: Square) -> tuple[int, int, int]:
    """(left, top, side) in whole pixels of the square of the face, moved and shrunk so that it lies in the image."""
    height, width = shape
    side = min(round(2 * square.half), height, width)
    left = min(max(round(square.x - side / 2), 0), width - side)
    top = min(max(round(square.y - side / 2), 0), height - side)
    return left, top, side
