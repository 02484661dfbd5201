"""Deep3DFaceRecon's camera: rotation order, perspective projection, and the placement of its frame in a stored crop.

Source: sicxu/Deep3DFaceRecon_pytorch, `models/bfm.py`: focal length 1015 and centre 112 in a 224 x 224 frame, rotation
Rz @ Ry @ Rx used transposed, camera at distance 10 looking down -z, y up (rows count downwards, so y changes sign).
"""

import torch
from jaxtyping import Float
from torch import Tensor

FRAME_SIZE = 224
FOCAL = 1015.0
CENTRE = 112.0
CAMERA_DISTANCE = 10.0
"""Distance of the camera from the model's origin, in decimetres."""

NDC_FOCAL = FOCAL / CENTRE
"""Focal length in normalised image coordinates: ndc = NDC_FOCAL * X / Z."""

CROP_WIDENING = 1.3
"""Our training crop (`wide-v1`) is Deep3DFaceRecon's frame widened by this factor, fixed per clip."""


def rotation(angle: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Matrix R with `points @ R` as the rotated points (rows); angle in rad about x, y, z.

    R is the transpose of Rz @ Ry @ Rx.
    """
    (cx, cy, cz), (sx, sy, sz) = torch.cos(angle).unbind(-1), torch.sin(angle).unbind(-1)
    rows = [
        [cz * cy, sz * cy, -sy],
        [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx],
        [cz * sy * cx + sz * sx, sz * sy * cx - cz * sx, cy * cx],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def angles(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Angles in rad about x, y, z of a rotation; the inverse of `rotation` where the head turns by less than 90 deg."""
    x = torch.atan2(matrix[..., 1, 2], matrix[..., 2, 2])
    y = torch.asin((-matrix[..., 0, 2]).clamp(-1, 1))
    return torch.stack([x, y, torch.atan2(matrix[..., 0, 1], matrix[..., 0, 0])], dim=-1)


def to_camera(
    points: Float[Tensor, "*b v 3"], angle: Float[Tensor, "*b 3"], translation: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b v 3"]:
    """Model-space points in the camera's frame, in decimetres: x right, y up, z the distance from the camera."""
    x, y, z = (points @ rotation(angle) + translation[..., None, :]).unbind(-1)
    return torch.stack([x, y, CAMERA_DISTANCE - z], dim=-1)


def to_image(points: Float[Tensor, "*b v 3"], placement: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b v 2"]:
    """Normalised crop coordinates (x right, y down) of points in the camera's frame.

    `placement` is (scale, x, y): crop = scale * frame + (x, y), both in normalised coordinates.
    """
    x, y, z = points.unbind(-1)
    scale = placement[..., :1] * NDC_FOCAL
    return torch.stack([scale * x / z + placement[..., 1:2], -scale * y / z + placement[..., 2:3]], dim=-1)


def project(
    points: Float[Tensor, "*b v 3"],
    angle: Float[Tensor, "*b 3"],
    translation: Float[Tensor, "*b 3"],
    placement: Float[Tensor, "*b 3"],
) -> tuple[Float[Tensor, "*b v 2"], Float[Tensor, "*b v"]]:
    """Normalised crop coordinates and depth (distance along the optical axis, decimetres) of model-space points."""
    camera = to_camera(points, angle, translation)
    return to_image(camera, placement), camera[..., 2]


def default_placement(*batch: int, device: torch.device | str = "cpu") -> Float[Tensor, "..."]:
    """The placement of a crop that is Deep3DFaceRecon's frame widened about its centre: (1 / 1.3, 0, 0)."""
    return torch.tensor([1 / CROP_WIDENING, 0.0, 0.0], device=device).expand(*batch, 3)
