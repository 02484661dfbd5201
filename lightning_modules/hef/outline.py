"""Outlines of lips, eyes and face from the 68 landmarks, as soft masks in normalised coordinates."""

import torch
from jaxtyping import Float
from torch import Tensor

from face3d.grid import identity_grid

FACE = (*range(17), *range(26, 16, -1))
"""Jaw from one ear to the other, and back over the brows."""
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
OUTER_LIPS = tuple(range(48, 60))
INNER_LIPS = tuple(range(60, 68))
UPPER_INNER_LIP = (61, 62, 63)

STEPS = 4
"""Points of a smooth lip for each landmark."""


def distance(outline: Float[Tensor, "b k 2"], size: int) -> Float[Tensor, "b 1 size size"]:
    """Distance of each pixel's middle from a closed outline, negative inside it, in normalised units."""
    return _distance(outline, identity_grid(size, size, outline.device)[0])


def _distance(outline: Float[Tensor, "b k 2"], pixels: Float[Tensor, "h w 2"]) -> Float[Tensor, "b 1 h w"]:
    start, end = outline[:, :, None], outline.roll(-1, 1)[:, :, None]
    pixel = pixels.reshape(1, 1, -1, 2)
    edge, offset = end - start, pixel - start
    along = (offset * edge).sum(-1) / edge.square().sum(-1).clamp(min=1e-12)
    nearest = (offset - edge * along.clamp(0, 1)[..., None]).square().sum(-1).amin(1).sqrt()
    rise = torch.where(edge[..., 1].abs() < 1e-12, 1e-12, edge[..., 1])
    crosses = (start[..., 1] <= pixel[..., 1]) != (end[..., 1] <= pixel[..., 1])
    left_of_edge = offset[..., 0] < offset[..., 1] / rise * edge[..., 0]
    inside = (crosses & left_of_edge).sum(1) % 2 == 1
    return torch.where(inside, -nearest, nearest).reshape(-1, 1, *pixels.shape[:2])


def distance_near(outline: Float[Tensor, "b k 2"], size: int, margin: float) -> Float[Tensor, "b 1 size size"]:
    """`distance` up to `margin` about the outlines; at least `margin` wherever the box about all of them ends."""
    low = ((outline.amin((0, 1)) - margin + 1) * (size / 2)).floor().int().clamp(0, size - 1).tolist()
    high = ((outline.amax((0, 1)) + margin + 1) * (size / 2)).ceil().int().clamp(1, size).tolist()
    x, y = slice(low[0], high[0]), slice(low[1], high[1])
    far = outline.new_full((len(outline), 1, size, size), margin)
    pixel = identity_grid(size, size, outline.device)[0, y, x]
    far[..., y, x] = _distance(outline, pixel)
    return far


def soft(distance: Tensor, width: float) -> Tensor:
    """1 inside, 0 outside, falling over `width` about the outline."""
    return (0.5 - distance / width).clamp(0, 1)


def smooth_lips(keypoints: Float[Tensor, "b 68 2"]) -> Float[Tensor, "b k 2"]:
    """The inner lips as a smooth outline with two corners: Catmull-Rom splines through the upper and the lower lip."""
    upper, lower = keypoints[:, 60:65], keypoints[:, [64, 65, 66, 67, 60]]
    return torch.cat([_spline(upper), _spline(lower)], dim=1)


def _spline(points: Float[Tensor, "b k 2"]) -> Float[Tensor, "b n 2"]:
    """Points of the curve, without its last."""
    before = torch.cat([2 * points[:, :1] - points[:, 1:2], points[:, :-2]], dim=1)
    after = torch.cat([points[:, 2:], 2 * points[:, -1:] - points[:, -2:-1]], dim=1)
    p0, p1, p2, p3 = (x[:, :, None] for x in (before, points[:, :-1], points[:, 1:], after))
    t = (torch.arange(STEPS, device=points.device) / STEPS)[:, None]
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return curve.flatten(1, 2)


def opening(keypoints: Float[Tensor, "b 68 2"]) -> Float[Tensor, " b"]:
    """Mean distance of the inner lips."""
    return (keypoints[:, [61, 62, 63]] - keypoints[:, [67, 66, 65]]).norm(dim=-1).mean(-1)
