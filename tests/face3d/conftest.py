"""A small smooth head made of random numbers: quick, with every part of the contract."""

import pytest
import torch

from face3d.morphable import MorphableModel

SIDE = 21


def _smooth_basis(axes: int, points: torch.Tensor, generator: torch.Generator, strength: float) -> torch.Tensor:
    """Random low-frequency offsets [axes, v, 3]."""
    frequency = torch.randn(axes, 2, 3, generator=generator, dtype=torch.float64)
    phase = torch.randn(axes, 1, 3, generator=generator, dtype=torch.float64)
    return strength * torch.sin(1.5 * (points[None, :, :2] @ frequency) + phase)


@pytest.fixture(scope="session")
def small_head() -> MorphableModel:
    """A dome of 441 vertices, about one decimetre in radius, in float64."""
    generator = torch.Generator().manual_seed(0)
    line = torch.linspace(-0.8, 0.8, SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
    points = torch.stack([x, y, 0.6 - 0.7 * (x**2 + y**2)], dim=-1).reshape(-1, 3)
    index = torch.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (index[i : SIDE - 1 + i, j : SIDE - 1 + j].flatten() for i in (0, 1) for j in (0, 1))
    return MorphableModel(
        name="dome",
        mean_shape=points,
        identity_basis=_smooth_basis(80, points, generator, 0.01),
        expression_basis=_smooth_basis(64, points, generator, 0.01),
        mean_texture=torch.full_like(points, 0.6) + 0.2 * torch.sin(5 * points),
        texture_basis=_smooth_basis(80, points, generator, 0.02),
        triangles=torch.cat([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)]),
        keypoints=torch.randperm(SIDE * SIDE, generator=generator)[:68],
    )


@pytest.fixture
def coefficients() -> torch.Tensor:
    """Three faces of moderate size, pose and light, [3, 257] in float64."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3, 257, generator=generator, dtype=torch.float64)
    values[:, 224:227] *= 0.15
    values[:, 227:254] *= 0.05
    values[:, 254:] *= 0.1
    return values


@pytest.fixture
def placement() -> torch.Tensor:
    """Three different placements, [3, 3] in float64."""
    return torch.tensor([[0.77, 0.0, 0.0], [0.7, 0.1, -0.05], [1.0, 0.0, 0.1]], dtype=torch.float64)
