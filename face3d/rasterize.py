"""A differentiable rasteriser: visibility without gradients, perspective-correct barycentrics with them.

Which triangle a pixel sees is found without gradients (`visibility`): pixel centres, no culling, nearest first. Given
the winners, barycentrics are recomputed with gradients to vertex positions and depths: in plain torch on any device,
and on the CPU by compiled kernels with their adjoints, which are several times faster. Silhouettes themselves carry
no gradient, as in nvdiffrast without its antialiasing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from face3d.cpu import CPUBarycentrics, CPUInterpolate
from face3d.grid import identity_grid
from face3d.visibility import visible_triangles


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees: a triangle (-1 = none) and the weights of its corners (0 where none)."""

    triangle: Int64[Tensor, "b h w"]
    barycentric: Float[Tensor, "b h w 3"]

    @property
    def mask(self) -> Float[Tensor, "b 1 h w"]:
        """1 where something is seen, else 0."""
        return (self.triangle >= 0)[:, None].to(self.barycentric.dtype)


def rasterize(
    xy: Float[Tensor, "b v 2"], depth: Float[Tensor, "b v"], triangles: Int64[Tensor, "t 3"], size: int
) -> Fragments:
    """Visible triangles and their barycentrics of a batch of meshes on a `size` x `size` grid.

    xy are normalised coordinates (x right, y down, [-1, 1] across the image), depth the positive distance.
    """
    winner = visible_triangles(xy.detach(), depth.detach(), triangles, size)
    weigh = CPUBarycentrics.apply if xy.device.type == "cpu" else barycentrics
    return Fragments(winner, weigh(xy, depth, triangles, winner))


def interpolate(
    fragments: Fragments, attributes: Float[Tensor, "b v c"], triangles: Int64[Tensor, "t 3"]
) -> Float[Tensor, "b c h w"]:
    """Vertex attributes at each pixel; 0 where nothing is seen. Gradients reach attributes and barycentrics."""
    mix = CPUInterpolate.apply if attributes.device.type == "cpu" else mixture
    return mix(attributes, fragments.barycentric, triangles, fragments.triangle)


def barycentrics(
    xy: Float[Tensor, "b v 2"],
    depth: Float[Tensor, "b v"],
    triangles: Int64[Tensor, "t 3"],
    winner: Int64[Tensor, "b h w"],
) -> Float[Tensor, "b h w 3"]:
    """Weights of each pixel's corners in plain torch: sub-triangle areas over depth, normalised to 1."""
    pixel = identity_grid(winner.shape[1], winner.shape[2], xy.device).to(xy.dtype)
    offset = _gather(xy, triangles, winner) - pixel[..., None, :]
    following, last = offset[..., [1, 2, 0], :], offset[..., [2, 0, 1], :]
    area = following[..., 0] * last[..., 1] - last[..., 0] * following[..., 1]
    seen = (winner >= 0)[..., None]
    weights = area / torch.where(seen, _gather(depth[..., None], triangles, winner)[..., 0], 1.0)
    total = torch.where(seen, weights.sum(-1, keepdim=True), 1.0)
    return torch.where(seen, weights / total, 0.0)


def mixture(
    attributes: Float[Tensor, "b v c"],
    weights: Float[Tensor, "b h w 3"],
    triangles: Int64[Tensor, "t 3"],
    winner: Int64[Tensor, "b h w"],
) -> Float[Tensor, "b c h w"]:
    """Attributes of each pixel's corners mixed by their weights, in plain torch."""
    return (_gather(attributes, triangles, winner) * weights[..., None]).sum(-2).permute(0, 3, 1, 2)


def _gather(values: Tensor, triangles: Tensor, winner: Tensor) -> Tensor:
    """Values [b, v, c] at the corners of each pixel's triangle: [b, h, w, 3, c] (any triangle where none is seen)."""
    corners = triangles[winner.clamp(min=0)].flatten(1)
    picked = values.gather(1, corners[..., None].expand(-1, -1, values.shape[-1]))
    return picked.unflatten(1, (*winner.shape[1:], 3))
