"""Which triangle each pixel sees: numba on the CPU, torch's scatter-min on any other device."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from face3d import kernels

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
    kernels.draw(xy.contiguous().numpy(), depth.contiguous().numpy(), triangles.contiguous().numpy(), winner.numpy())
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
