"""ICT-FaceKit (USC Institute for Creative Technologies, MIT licence) as plain arrays: from an npz or the obj folder."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64

from conventions.errors import UserError
from face3d.keypoints import STANDARD_FIVE, five_points

NUM_VERTICES = 26_719
CENTIMETRES = 0.1
"""The files' unit in decimetres."""

KEYPOINTS = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509),
    *(978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
"""Vertices of the 68 iBUG landmarks (ICT-FaceKit, `FaceXModel/vertex_indices.json`)."""

DETECTED = (
    *(276, 1239, 1051, 1834, 757, 844, 803, 1497, 966, 3711, 3044, 3085, 2998, 4036, 3271, 3457, 2517),
    *(1704, 1009, 482, 1417, 2006, 4206, 3631, 2723, 3229, 3909),
    *(978, 1348, 4839, 4857, 4586, 71, 4920, 2312, 5051),
    *(1546, 691, 617, 631, 1518, 1552, 2872, 2858, 2932, 3760, 3766, 3732),
    *(5927, 5720, 2081, 5525, 4275, 6225, 6432, 6375, 6480, 5518, 5976, 5870),
    *(5650, 6038, 5526, 6542, 6155, 6487, 5519, 5983),
)
"""Vertices where MediaPipe puts the points that stand for the 68 landmarks (`face3d/landmarker.py`).

They lie 4 mm from iBUG's on average, up to 22 mm along the jaw, where the detector has few points to choose from.
`studies/ict_keypoints.py` finds them on clips of eight people.
"""

DETECTED_DEVIATION = 0.02
"""How far (decimetres) a person's landmarks may lie from these vertices; see `MorphableModel.keypoint_deviation`."""

_SKIN, _MOUTH, _TEETH, _SCLERA = (0.80, 0.60, 0.50), (0.55, 0.22, 0.22), (0.88, 0.85, 0.80), (0.92, 0.91, 0.90)
_REGIONS = (
    (0, 11_248, _SKIN),
    (11_248, 13_294, _MOUTH),
    (13_294, 14_062, _SKIN),
    (14_062, 17_039, _MOUTH),
    (17_039, 21_451, _TEETH),
    (21_451, 24_591, _SCLERA),
)
"""First vertex, end, and albedo of each region (ranges: ICT-FaceKit's README; the files hold no colours)."""

_FIRST_TRANSLUCENT = 24_591
"""Tear film, eye shadow and lash cards start here: they need blending, so their triangles are left out."""


@dataclass(frozen=True)
class Arrays:
    """ICT-FaceKit in decimetres, moved so that its face lies where BFM09's lies."""

    vertices: Float32[np.ndarray, "v 3"]
    identity: Float32[np.ndarray, "num_identity v 3"]
    expression: Float32[np.ndarray, "num_expression v 3"]
    expression_names: tuple[str, ...]
    triangles: Int64[np.ndarray, "t 3"]


def read(path: Path) -> Arrays:
    """Read `ict_facekit.npz` (fields vertices, triangles, identity, expression, expression_names) or the obj folder."""
    raw = _read_folder(path) if path.is_dir() else _read_npz(path)
    if len(raw.vertices) != NUM_VERTICES:
        raise UserError(f"{path}: {len(raw.vertices)} vertices; ICT-FaceKit has {NUM_VERTICES}")
    vertices = raw.vertices * np.float32(CENTIMETRES)
    triangles = raw.triangles[(raw.triangles < _FIRST_TRANSLUCENT).all(1)]
    return Arrays(
        vertices=vertices + _offset_to_standard(vertices),
        identity=raw.identity * np.float32(CENTIMETRES),
        expression=raw.expression * np.float32(CENTIMETRES),
        expression_names=raw.expression_names,
        triangles=np.ascontiguousarray(triangles),
    )


def albedo() -> Float32[np.ndarray, "v 3"]:
    """A plain colour for each region of the head: skin, mouth, teeth, eyes."""
    colours = np.zeros((NUM_VERTICES, 3), np.float32)
    for start, end, colour in _REGIONS:
        colours[start:end] = colour
    return colours


def _offset_to_standard(vertices: np.ndarray) -> np.ndarray:
    five = five_points(torch.from_numpy(vertices[list(KEYPOINTS)])).numpy()
    return (STANDARD_FIVE - five).mean(0) * np.array([0, 1, 1], np.float32)


def _read_npz(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return Arrays(
                vertices=file["vertices"].astype(np.float32),
                identity=file["identity"].astype(np.float32),
                expression=file["expression"].astype(np.float32),
                expression_names=tuple(str(name) for name in file["expression_names"]),
                triangles=file["triangles"].astype(np.int64),
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable ICT-FaceKit npz ({error})") from error


def _read_folder(folder: Path) -> Arrays:
    neutral = folder / "generic_neutral_mesh.obj"
    if not neutral.is_file():
        raise UserError(f"{folder}: no generic_neutral_mesh.obj; expected ICT-FaceKit's FaceXModel folder")
    mean, triangles = _read_obj(neutral)
    identity = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    expression = sorted(set(folder.glob("*.obj")) - {neutral, *identity})
    if not identity or not expression:
        raise UserError(f"{folder}: expected identity000.obj.. and expression objs such as jawOpen.obj")
    return Arrays(
        vertices=mean,
        identity=_offsets(identity, mean),
        expression=_offsets(expression, mean),
        expression_names=tuple(path.stem for path in expression),
        triangles=triangles,
    )


def _offsets(paths: list[Path], mean: np.ndarray) -> np.ndarray:
    shapes = [_read_obj(path)[0] for path in paths]
    for path, shape in zip(paths, shapes, strict=True):
        if shape.shape != mean.shape:
            raise UserError(f"{path}: {len(shape)} vertices; the neutral mesh has {len(mean)}")
    return np.stack(shapes) - mean


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float32 [v, 3] and triangles int64 [t, 3] (polygons split as fans) of a Wavefront obj."""
    try:
        lines = path.read_text().splitlines()
        vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=np.float32)
        polygons = [[int(c.split("/")[0]) - 1 for c in line.split()[1:]] for line in lines if line.startswith("f ")]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable obj ({error})") from error
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return vertices.reshape(-1, 3), np.array(fans, dtype=np.int64).reshape(-1, 3)
