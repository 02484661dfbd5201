"""ICT-FaceKit as a toy actor's head: what of its mesh is shown, and where on it lips, lids, ears and neck are."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Bool, Float, Float32, Int64
from scipy.sparse import csr_matrix

from conventions.errors import UserError
from datamodules.toy_mead import appearance_shade as shade
from face3d.ict import KEYPOINTS, NUM_VERTICES
from face3d.keypoints import BROWS
from face3d.morphable import load_model
from face3d.procedural_fields import ramp

SOURCE = "https://github.com/ICT-VGL/ICT-FaceKit"

SKIN, MOUTH, SOCKET, GUMS, TEETH, LEFT_EYE, RIGHT_EYE, HIDDEN = range(8)
_ENDS = (11_248, 13_294, 14_062, 17_039, 21_451, 22_221, 23_021, 23_791, NUM_VERTICES)
_PARTS = (SKIN, MOUTH, SOCKET, GUMS, TEETH, LEFT_EYE, HIDDEN, RIGHT_EYE, HIDDEN)
"""Part of the vertices up to each end; each eyeball has a second, inner shell that the outer one hides."""
_FACE_END = 9_409
"""The face and the ears come before the rest of the head."""

EYE_OFFSET = np.array([0.0, 0.0, -0.028])
"""From the middle of an eyeball's vertices, which lie closer in front, to the middle of its sphere."""
EYE_AXIS = np.array([0.083, 0.0, 0.997])
"""Where the left eye's cornea points; the right one's is its mirror image."""


@dataclass(frozen=True, eq=False)
class IctHead:
    """The shown part of the model (`used` are its vertices in the file), and its anatomy at rest."""

    mean: Float32[np.ndarray, "v 3"]
    identity: Float32[np.ndarray, "80 v 3"]
    expression: Float32[np.ndarray, "e v 3"]
    expression_names: tuple[str, ...]
    triangles: Int64[np.ndarray, "t 3"]
    part: Int64[np.ndarray, " v"]
    keypoints: Int64[np.ndarray, "68"]
    neighbours: csr_matrix
    """Row-normalised adjacency of the vertices."""
    ear: Bool[np.ndarray, " v"]
    lips: Float[np.ndarray, " v"]
    """1 on the vermilion, fading over its border."""
    lid_rim: Float[np.ndarray, " v"]
    brow: Float[np.ndarray, " v"]
    """Distance from the brows' line, in decimetres."""
    shadow: Float[np.ndarray, " v"]
    """Share of the light that reaches the vertex."""
    follows: Float[np.ndarray, " v"]
    """Share of the head's rotation: less down the neck, none on the chest."""

    def shape(self, identity: Float[np.ndarray, "80"]) -> Float32[np.ndarray, "v 3"]:
        """The face of an identity at rest."""
        return self.mean + combined(identity[None], self.identity)[0]


def combined(
    coefficients: Float[np.ndarray, "t n"], basis: Float32[np.ndarray, "n v 3"]
) -> Float32[np.ndarray, "t v 3"]:
    """Offsets of basis shapes by their coefficients: torch's product, which keeps to the threads that it is given."""
    product = torch.from_numpy(coefficients.astype(np.float32)) @ torch.from_numpy(basis).flatten(1)
    return product.unflatten(1, basis.shape[1:]).numpy()


@cache
def ict_head(path: Path) -> IctHead:
    """The head in the user's copy of ICT-FaceKit; read once in a process."""
    if not path.exists():
        raise UserError(f"{path}: no such file; ICT-FaceKit (MIT licence) is to be had at {SOURCE}")
    model = load_model("ict", path)
    part = np.repeat(_PARTS, np.diff((0, *_ENDS)))
    triangles = model.triangles.numpy()
    triangles = triangles[(part[triangles] != HIDDEN).all(1)]
    used = np.unique(triangles)
    place = np.full(NUM_VERTICES, -1)
    place[used] = np.arange(len(used))
    triangles, part, mean = place[triangles], part[used], model.mean_shape.numpy()[used]
    anatomy = place[list(KEYPOINTS)]
    neighbours = _adjacency(triangles, len(used))
    return IctHead(
        mean=mean,
        identity=np.ascontiguousarray(model.identity_basis.numpy()[:80, used]),
        expression=np.ascontiguousarray(model.expression_basis.numpy()[:, used]),
        expression_names=model.expression_names,
        triangles=np.ascontiguousarray(triangles),
        part=part,
        keypoints=place[model.keypoints.numpy()],
        neighbours=neighbours,
        ear=_ears(mean, used),
        lips=_lips(mean, part, anatomy),
        lid_rim=_lid_rim(mean, part, anatomy),
        brow=_brow_distance(mean, part, anatomy),
        shadow=_shadow(mean, triangles, part, neighbours),
        follows=ramp(mean[:, 1] + 0.5 * mean[:, 2], -1.55, -0.85).astype(float),
    )


def _adjacency(triangles: np.ndarray, count: int) -> csr_matrix:
    rows = np.concatenate([triangles[:, i] for i in (0, 1, 1, 2, 2, 0)])
    columns = np.concatenate([triangles[:, i] for i in (1, 0, 2, 1, 0, 2)])
    joined = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    joined.data[:] = 1.0
    degree = np.maximum(np.asarray(joined.sum(1)).ravel(), 1)
    return csr_matrix(scipy.sparse.diags(1 / degree) @ joined)


def _ears(points: np.ndarray, used: np.ndarray) -> np.ndarray:
    y, z = points[:, 1], points[:, 2]
    return (used < _FACE_END) & (z < -0.58) & (y > -0.34) & (y < 0.36) & (np.abs(points[:, 0]) > 0.66)


def _outline(points: np.ndarray) -> np.ndarray:
    """A closed line through points [n, 2], with eight steps between neighbours (Catmull-Rom)."""
    a, b, c, d = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    t = (np.arange(8) / 8)[None, :, None]
    line = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return line.reshape(-1, 2)


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Signed distance [n] of points [n, 2] from a closed line: positive inside."""
    start, end = outline, np.roll(outline, -1, axis=0)
    away, along = points[:, None] - start, end - start
    share = np.clip((away * along).sum(-1) / (along**2).sum(-1), 0, 1)
    distance = np.linalg.norm(away - share[..., None] * along, axis=-1).min(1)
    rises = (start[:, 1] > points[:, None, 1]) != (end[:, 1] > points[:, None, 1])
    safe = np.where(np.abs(along[:, 1]) > 1e-9, along[:, 1], 1e-9)
    crossings = rises & (away[..., 0] < away[..., 1] / safe * along[:, 0])
    return np.where(crossings.sum(1) % 2 == 1, distance, -distance)


def _lips(mean: np.ndarray, part: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    near = (part == SKIN) & (np.abs(mean[:, 0]) < 0.32) & (np.abs(mean[:, 1] + 0.39) < 0.2) & (mean[:, 2] > 0.1)
    weight = np.zeros(len(mean))
    outline = _outline(mean[keypoints[48:60], :2].astype(float))
    weight[near] = ramp(_inside(mean[near, :2].astype(float), outline), -0.012, 0.012)
    return np.maximum(weight, 0.8 * ((part == MOUTH) & (mean[:, 2] > 0.27)))


def _lid_rim(mean: np.ndarray, part: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """1 on the edges of the lids, where lashes stand."""
    rim = np.zeros(len(mean))
    for eye in (keypoints[36:42], keypoints[42:48]):
        corners = mean[eye].astype(float)
        gap = mean - corners.mean(0)
        near = (part == SKIN) & (np.abs(gap) < [0.2, 0.1, 0.15]).all(1)
        distance = _inside(mean[near, :2].astype(float), _outline(corners[:, :2]))
        rim[near] = np.exp(-((distance / 0.013) ** 2))
    return rim


def _brow_distance(mean: np.ndarray, part: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Frontal distance from the line through each brow's five landmarks; large away from them."""
    distance = np.full(len(mean), 9.0)
    near = (part == SKIN) & (mean[:, 2] > -0.1) & (np.abs(mean[:, 1] - 0.5) < 0.25)
    for brow in (keypoints[BROWS][:5], keypoints[BROWS][5:]):
        line = mean[brow, :2]
        steps = np.linspace(0, 4, 81)
        dense = np.stack([np.interp(steps, np.arange(5), line[:, k]) for k in (0, 1)], -1)
        gaps = np.linalg.norm(mean[near, None, :2] - dense, axis=-1)
        distance[near] = np.minimum(distance[near], gaps.min(1))
    return distance


def _shadow(mean: np.ndarray, triangles: np.ndarray, part: np.ndarray, neighbours: csr_matrix) -> np.ndarray:
    """Hollows are darker: how far the surface lies under its own smoothed copies; the mouth darkens with its depth."""
    points = mean.astype(float)
    normal = np.empty_like(points)
    shade.normals(points, triangles, normal)
    shadow, smooth = np.ones(len(mean)), points
    for scale in (6, 30):
        for _ in range(scale):
            smooth = neighbours @ smooth
        hollow = ((smooth - points) * normal).sum(1) / (0.004 * scale**0.5)
        shadow *= 1 - 0.15 * np.clip(hollow, 0, 1)
    deep = ramp(points[:, 2], -0.05, 0.33)
    shadow = np.where(np.isin(part, (MOUTH, GUMS)), 0.15 + 0.5 * deep, shadow)
    shadow = np.where(part == TEETH, 0.25 + 0.6 * deep, shadow)
    lit = 1 - 0.45 * ramp(points[:, 1], 0.31, 0.38) - 0.3 * ramp(np.abs(np.abs(points[:, 0]) - 0.31), 0.06, 0.13)
    shadow = np.where(np.isin(part, (LEFT_EYE, RIGHT_EYE)), lit, np.where(part == SOCKET, 0.5, shadow))
    under_jaw = 1 - 0.40 * ramp(points[:, 1] + 0.35 * points[:, 2], -0.68, -0.85) * ramp(points[:, 1], -1.35, -0.95)
    return shadow * np.where(part == SKIN, under_jaw, 1.0)
