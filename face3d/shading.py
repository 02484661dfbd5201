"""Spherical-harmonic lighting of Deep3DFaceRecon: nine bands for each colour, on vertex normals.

Source: sicxu/Deep3DFaceRecon_pytorch, `models/bfm.py` (`SH`, `compute_color`, `compute_norm`).
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from face3d import kernels
from face3d.rasterize import arrays

INITIAL_LIGHT = 0.8
"""Added to the constant band of every colour: gamma 0 is an even, slightly dim light."""

_A = (math.pi, 2 * math.pi / math.sqrt(3), 2 * math.pi / math.sqrt(8))
_C = (1 / math.sqrt(4 * math.pi), math.sqrt(3) / math.sqrt(4 * math.pi), 3 * math.sqrt(5) / math.sqrt(12 * math.pi))
_L0, _L1, _L2 = (a * c for a, c in zip(_A, _C, strict=True))


def vertex_normals(vertices: Float[Tensor, "*b v 3"], triangles: Int64[Tensor, "t 3"]) -> Float[Tensor, "*b v 3"]:
    """Unit normal of each vertex: the normalised sum of the unit normals of its triangles; 0 without any."""
    find = CPUNormals.apply if vertices.device.type == "cpu" else summed_normals
    return find(vertices, triangles)


def summed_normals(vertices: Float[Tensor, "*b v 3"], triangles: Int64[Tensor, "t 3"]) -> Float[Tensor, "*b v 3"]:
    """`vertex_normals` in plain torch."""
    a, b, c = (vertices[..., corner, :] for corner in triangles.unbind(-1))
    faces = F.normalize(torch.linalg.cross(b - a, c - b), dim=-1)
    total = torch.zeros_like(vertices)
    for corner in triangles.unbind(-1):
        total = total.index_add(-2, corner, faces)
    return F.normalize(total, dim=-1)


class CPUNormals(torch.autograd.Function):
    """(vertices [*b, v, 3], triangles [t, 3]) -> unit normals of the vertices [*b, v, 3]."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, triangles: Tensor) -> Tensor:
        """Normalised sums of the unit normals of each vertex's triangles."""
        flat = vertices.detach().reshape(-1, *vertices.shape[-2:]).contiguous()
        faces = flat.new_empty(len(flat), len(triangles), 3)
        lengths, normals = flat.new_empty(len(flat), len(triangles) + flat.shape[1]), torch.empty_like(flat)
        kernels.vertex_normals(*arrays(flat, triangles, faces, lengths, normals))
        ctx.save_for_backward(flat, triangles, faces, lengths, normals)
        return normals.reshape(vertices.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradient to the vertices."""
        flat = ctx.saved_tensors[0]
        grad, room, pulled = grads[0].reshape(flat.shape), torch.empty_like(flat), torch.zeros_like(flat)
        kernels.vertex_normals_adjoint(*arrays(*ctx.saved_tensors, grad, room, pulled))
        return pulled.reshape(grads[0].shape), None


def harmonics(normals: Float[Tensor, "*b v 3"]) -> Float[Tensor, "*b v 9"]:
    """The nine bands, with the signs and order of Deep3DFaceRecon, at unit normals in camera axes (z to the viewer)."""
    x, y, z = normals.unbind(-1)
    bands = [
        torch.full_like(x, _L0),
        -_L1 * y,
        _L1 * z,
        -_L1 * x,
        _L2 * x * y,
        -_L2 * y * z,
        0.5 / math.sqrt(3) * _L2 * (3 * z**2 - 1),
        -_L2 * x * z,
        0.5 * _L2 * (x**2 - y**2),
    ]
    return torch.stack(bands, dim=-1)


def shade(
    albedo: Float[Tensor, "*b v 3"], normals: Float[Tensor, "*b v 3"], gamma: Float[Tensor, "*b 27"]
) -> Float[Tensor, "*b v 3"]:
    """Colour of each vertex, RGB, nominally in 0..1 (not clipped), under the light `gamma`."""
    light = gamma.unflatten(-1, (3, 9)) + F.pad(gamma.new_full((1,), INITIAL_LIGHT), (0, 8))
    return albedo * (harmonics(normals) @ light.transpose(-1, -2))
