"""The renderer's costly steps on the CPU: compiled kernels forward, their hand-written adjoints backward.

The same functions as `rasterize.barycentrics`, `rasterize.mixture` and `shading.summed_normals`, against which tests
hold them.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from face3d import kernels


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class CPUBarycentrics(torch.autograd.Function):
    """(xy [b, v, 2], depth [b, v], triangles [t, 3], winner [b, h, w]) -> weights [b, h, w, 3]."""

    @staticmethod
    def forward(ctx: Any, xy: Tensor, depth: Tensor, triangles: Tensor, winner: Tensor) -> Tensor:
        """Weights of each pixel's corners; 0 where nothing is seen."""
        weights = xy.new_empty(*winner.shape, 3)
        kernels.barycentrics(*_arrays(xy, depth, triangles, winner, weights))
        ctx.save_for_backward(xy, depth, triangles, winner, weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients to positions and depths."""
        xy, depth = ctx.saved_tensors[:2]
        grad_xy, grad_depth = torch.zeros_like(xy).contiguous(), torch.zeros_like(depth).contiguous()
        kernels.barycentrics_adjoint(*_arrays(*ctx.saved_tensors, grads[0], grad_xy, grad_depth))
        return grad_xy, grad_depth, None, None


class CPUInterpolate(torch.autograd.Function):
    """(attributes [b, v, c], weights [b, h, w, 3], triangles [t, 3], winner [b, h, w]) -> image [b, c, h, w]."""

    @staticmethod
    def forward(ctx: Any, attributes: Tensor, weights: Tensor, triangles: Tensor, winner: Tensor) -> Tensor:
        """Attributes mixed by the weights; 0 where nothing is seen."""
        batch, height, width = winner.shape
        out = attributes.new_empty(batch, attributes.shape[-1], height, width)
        kernels.interpolate(*_arrays(winner, weights, attributes, triangles, out))
        ctx.save_for_backward(winner, weights, attributes, triangles)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients to attributes and weights."""
        _, weights, attributes, _ = ctx.saved_tensors
        grad_weights, grad_attributes = torch.zeros_like(weights), torch.zeros_like(attributes).contiguous()
        kernels.interpolate_adjoint(*_arrays(*ctx.saved_tensors, grads[0], grad_weights, grad_attributes))
        return grad_attributes, grad_weights, None, None


class CPUNormals(torch.autograd.Function):
    """(vertices [*b, v, 3], triangles [t, 3]) -> unit normals of the vertices [*b, v, 3]."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, triangles: Tensor) -> Tensor:
        """Normalised sums of the unit normals of each vertex's triangles."""
        flat = vertices.detach().reshape(-1, *vertices.shape[-2:]).contiguous()
        faces = flat.new_empty(len(flat), len(triangles), 3)
        lengths, normals = flat.new_empty(len(flat), len(triangles) + flat.shape[1]), torch.empty_like(flat)
        kernels.vertex_normals(*_arrays(flat, triangles, faces, lengths, normals))
        ctx.save_for_backward(flat, triangles, faces, lengths, normals)
        return normals.reshape(vertices.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradient to the vertices."""
        flat = ctx.saved_tensors[0]
        grad, room, pulled = grads[0].reshape(flat.shape), torch.empty_like(flat), torch.zeros_like(flat)
        kernels.vertex_normals_adjoint(*_arrays(*ctx.saved_tensors, grad, room, pulled))
        return pulled.reshape(grads[0].shape), None
