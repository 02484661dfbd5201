"""A differentiable rasteriser: visibility without gradients, perspective-correct barycentrics with them.

Which triangle a pixel sees is found without gradients (`visible_triangles`): pixel centres, no culling, nearest first.
Given the winners, barycentrics are recomputed with gradients to vertex positions and depths: in plain torch on any
device, and on the CPU by compiled kernels with their adjoints, which are several times faster. Silhouettes themselves
carry no gradient, as in nvdiffrast without its antialiasing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from face3d import kernels
from face3d.grid import identity_grid


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


_CANDIDATES_AT_ONCE = 1 << 24
"""Pixel-triangle pairs tested together on the torch path: bounds its memory (about 100 bytes each)."""

_NOTHING = torch.iinfo(torch.int64).max


def visible_triangles(
    xy: Float[Tensor, "b v 2"], depth: Float[Tensor, "b v"], triangles: Int64[Tensor, "t 3"], size: int
) -> Int64[Tensor, "b size size"]:
    """Index of the nearest triangle at each pixel centre, -1 where there is none; never differentiated."""
    if xy.device.type != "cpu":
        return by_scatter(xy, depth, triangles, size)
    winner = torch.empty(xy.shape[0], size, size, dtype=torch.int64)
    kernels.draw(*arrays(xy, depth, triangles, winner))
    return winner


def by_scatter(
    xy: Float[Tensor, "b v 2"], depth: Float[Tensor, "b v"], triangles: Int64[Tensor, "t 3"], size: int
) -> Int64[Tensor, "b size size"]:
    """The same in pure torch: triangles grouped by the size of their bounding box, all pixels of a box tested at once.

    The buffer holds (depth's float bits << 32 | triangle), so that one scatter-min keeps the nearest.
    """
    corners = torch.cat([(xy.double() + 1) * (size / 2) - 0.5, depth.double()[..., None]], dim=-1)[:, triangles]
    low = corners[..., :2].amin(-2).clamp(min=0).ceil()
    extent = corners[..., :2].amax(-2).clamp(max=size - 1).floor() - low + 1
    drawable = (extent > 0).all(-1) & (corners[..., 2] >= kernels.NEAR).all(-1)
    side = torch.where(drawable, extent.amax(-1), 0)
    buffer = torch.full((xy.shape[0] * size * size,), _NOTHING, device=xy.device)
    smaller = 0
    while smaller < size:
        box = max(1, smaller * 2)
        mesh, triangle = ((side > smaller) & (side <= box)).nonzero(as_tuple=True)
        _scatter(buffer, corners, low, mesh, triangle, box, size)
        smaller = box
    winner = torch.where(buffer == _NOTHING, -1, buffer & 0xFFFFFFFF)
    return winner.view(-1, size, size)


def _scatter(buffer: Tensor, corners: Tensor, low: Tensor, mesh: Tensor, triangle: Tensor, box: int, size: int) -> None:
    """Test every pixel of box x box at each listed triangle and keep the nearest hits in `buffer`."""
    steps = torch.arange(box, device=corners.device)
    step = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).flatten(0, 1)
    for part in torch.arange(len(mesh), device=mesh.device).split(max(1, _CANDIDATES_AT_ONCE // box**2)):
        m, t = mesh[part], triangle[part]
        pixel = low[m, t][:, None] + step
        weights, depth = _hit(corners[m, t], pixel)
        inside = (weights >= -kernels.EDGE).all(-1) & (pixel < size).all(-1)
        bits = depth.float().view(torch.int32).long()
        key = (bits << 32) | t[:, None]
        place = (m[:, None] * size + pixel[..., 1].long()) * size + pixel[..., 0].long()
        buffer.scatter_reduce_(0, place[inside], key[inside], "amin")


def _hit(corners: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """Affine weights [n, p, 3] of pixels [n, p, 2] in triangles [n, 3, (x, y, depth)], and the depth there [n, p]."""
    a, b, c = corners[:, None].unbind(-2)
    ab, ac, ap = b - a, c - a, pixel - a[..., :2]
    area = ab[..., 0] * ac[..., 1] - ac[..., 0] * ab[..., 1]
    in_b = (ap[..., 0] * ac[..., 1] - ac[..., 0] * ap[..., 1]) / area
    in_c = (ab[..., 0] * ap[..., 1] - ap[..., 0] * ab[..., 1]) / area
    weights = torch.stack([1 - in_b - in_c, in_b, in_c], dim=-1)
    inverse = 1 / torch.stack([a[..., 2], b[..., 2], c[..., 2]], dim=-1)
    return weights, 1 / (weights * inverse).sum(-1)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """The tensors as the kernels take them: contiguous, on the CPU, without gradients."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class CPUBarycentrics(torch.autograd.Function):
    """(xy [b, v, 2], depth [b, v], triangles [t, 3], winner [b, h, w]) -> weights [b, h, w, 3]."""

    @staticmethod
    def forward(ctx: Any, xy: Tensor, depth: Tensor, triangles: Tensor, winner: Tensor) -> Tensor:
        """Weights of each pixel's corners; 0 where nothing is seen."""
        weights = xy.new_empty(*winner.shape, 3)
        kernels.barycentrics(*arrays(xy, depth, triangles, winner, weights))
        ctx.save_for_backward(xy, depth, triangles, winner, weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients to positions and depths."""
        xy, depth = ctx.saved_tensors[:2]
        grad_xy, grad_depth = torch.zeros_like(xy).contiguous(), torch.zeros_like(depth).contiguous()
        kernels.barycentrics_adjoint(*arrays(*ctx.saved_tensors, grads[0], grad_xy, grad_depth))
        return grad_xy, grad_depth, None, None


class CPUInterpolate(torch.autograd.Function):
    """(attributes [b, v, c], weights [b, h, w, 3], triangles [t, 3], winner [b, h, w]) -> image [b, c, h, w]."""

    @staticmethod
    def forward(ctx: Any, attributes: Tensor, weights: Tensor, triangles: Tensor, winner: Tensor) -> Tensor:
        """Attributes mixed by the weights; 0 where nothing is seen."""
        batch, height, width = winner.shape
        out = attributes.new_empty(batch, attributes.shape[-1], height, width)
        kernels.interpolate(*arrays(winner, weights, attributes, triangles, out))
        ctx.save_for_backward(winner, weights, attributes, triangles)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients to attributes and weights."""
        _, weights, attributes, _ = ctx.saved_tensors
        grad_weights, grad_attributes = torch.zeros_like(weights), torch.zeros_like(attributes).contiguous()
        kernels.interpolate_adjoint(*arrays(*ctx.saved_tensors, grads[0], grad_weights, grad_attributes))
        return grad_attributes, grad_weights, None, None
