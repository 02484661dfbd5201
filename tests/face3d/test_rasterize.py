"""Visibility against brute force, the torch path against the kernels, gradients against finite differences."""

import numpy as np
import pytest
import torch

from face3d.rasterize import (
    CPUBarycentrics,
    CPUInterpolate,
    barycentrics,
    by_scatter,
    interpolate,
    mixture,
    rasterize,
    visible_triangles,
)


def soup(seed: int, batch: int = 2, vertices: int = 30, triangles: int = 25):
    """Random triangles of all sizes, no two alike, partly outside the image, in float64."""
    generator = torch.Generator().manual_seed(seed)
    xy = torch.randn(batch, vertices, 2, generator=generator, dtype=torch.float64) * 0.8
    depth = 5 + 4 * torch.rand(batch, vertices, generator=generator, dtype=torch.float64)
    index = torch.stack([torch.randperm(vertices, generator=generator)[:3] for _ in range(triangles)])
    return xy, depth, index.sort(dim=1).values.unique(dim=0)


def brute_force(xy, depth, triangles, size):
    """Nearest triangle at each pixel centre by ray casting in space, one mesh, NumPy."""
    rows = np.stack([xy[:, 0] * depth, xy[:, 1] * depth, depth], axis=1)
    centres = (np.arange(size) + 0.5) * 2 / size - 1
    winner, best = np.full((size, size), -1), np.full((size, size), np.inf)
    for t, corners in enumerate(triangles):
        inverse = np.linalg.inv(rows[corners])
        for i, y in enumerate(centres):
            weights = np.stack([centres, np.full(size, y), np.ones(size)], axis=1) @ inverse
            distance = 1 / weights.sum(1)
            nearer = (weights >= 0).all(1) & (distance < best[i])
            winner[i, nearer], best[i, nearer] = t, distance[nearer]
    return winner


@pytest.mark.parametrize("seed", range(4))
def test_visibility_matches_ray_casting(seed):
    xy, depth, triangles = soup(seed)
    seen = visible_triangles(xy, depth, triangles, 40)
    for mesh in range(2):
        expected = brute_force(xy[mesh].numpy(), depth[mesh].numpy(), triangles.numpy(), 40)
        np.testing.assert_array_equal(seen[mesh].numpy(), expected)


@pytest.mark.parametrize("size", [1, 7, 32, 65])
def test_torch_visibility_equals_the_kernel(size):
    for seed in range(3):
        xy, depth, triangles = soup(seed, batch=3, vertices=60, triangles=80)
        assert torch.equal(by_scatter(xy, depth, triangles, size), visible_triangles(xy, depth, triangles, size))


def test_torch_visibility_in_pieces_equals_it_at_once(monkeypatch):
    xy, depth, triangles = soup(5, vertices=60, triangles=80)
    whole = by_scatter(xy, depth, triangles, 32)
    monkeypatch.setattr("face3d.rasterize._CANDIDATES_AT_ONCE", 700)
    assert torch.equal(by_scatter(xy, depth, triangles, 32), whole)


def test_neighbours_leave_no_crack_and_no_pixel_outside():
    line = torch.linspace(-0.5, 0.5, 14, dtype=torch.float64)
    x, y = torch.meshgrid(line, line, indexing="xy")
    xy = torch.stack([x, y], -1).reshape(1, -1, 2)
    index = torch.arange(196).reshape(14, 14)
    a, b, c, d = (index[i : 13 + i, j : 13 + j].flatten() for i in (0, 1) for j in (0, 1))
    triangles = torch.cat([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)])
    seen = visible_triangles(xy, torch.ones(1, 196, dtype=torch.float64), triangles, 64)[0] >= 0
    assert seen[16:48, 16:48].all()
    assert seen.sum() == 32 * 32


@pytest.mark.parametrize("find", [visible_triangles, by_scatter])
def test_broken_triangles_are_not_drawn(find):
    corners = torch.tensor([[-4.0, -4], [4, -4], [0, 6]])
    triangles = torch.tensor([[0, 1, 2]])
    assert (find(corners[None], torch.ones(1, 3), triangles, 8) == 0).all()
    behind = torch.tensor([[1.0, -1.0, 1.0]])
    assert (find(corners[None], behind, triangles, 8) == -1).all()
    assert (find(corners[None], torch.ones(1, 3), torch.tensor([[0, 1, 1]]), 8) == -1).all()
    broken = corners.clone()
    broken[1, 0] = torch.nan
    assert (find(broken[None], torch.ones(1, 3), triangles, 8) == -1).all()


def test_interpolation_is_perspective_correct():
    """What is linear in space comes back exactly: the space point itself, at each pixel's ray."""
    xy, depth, triangles = soup(2)
    points = torch.cat([xy * depth[..., None], depth[..., None]], -1)
    fragments = rasterize(xy, depth, triangles, 48)
    image = interpolate(fragments, points, triangles)
    seen = fragments.mask[:, 0] > 0
    centres = (torch.arange(48, dtype=torch.float64) + 0.5) * 2 / 48 - 1
    column = (image[:, 0] / image[:, 2])[seen]
    torch.testing.assert_close(column, centres.expand(2, 48, 48)[seen])
    torch.testing.assert_close(fragments.barycentric.sum(-1)[seen], torch.ones_like(column))
    assert (fragments.barycentric[~seen] == 0).all()
    assert (image[:, :, 0, 0][fragments.triangle[:, 0, 0] < 0] == 0).all()


def test_kernels_equal_plain_torch_in_value_and_gradient():
    xy, depth, triangles = soup(3)
    attributes = torch.rand(2, 30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    winner = visible_triangles(xy, depth, triangles, 32)
    leaves = [t.clone().requires_grad_() for t in (xy, depth, attributes)]

    def image(weigh, mix):
        return mix(leaves[2], weigh(leaves[0], leaves[1], triangles, winner), triangles, winner)

    fast, plain = image(CPUBarycentrics.apply, CPUInterpolate.apply), image(barycentrics, mixture)
    torch.testing.assert_close(fast, plain)
    upstream = torch.rand(fast.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(10))
    found, expected = (torch.autograd.grad(i, leaves, upstream) for i in (fast, plain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("weigh", "mix"), [(CPUBarycentrics.apply, CPUInterpolate.apply), (barycentrics, mixture)])
def test_gradients_pass_gradcheck(weigh, mix):
    xy, depth, triangles = soup(1, batch=1, vertices=12, triangles=6)
    winner = visible_triangles(xy, depth, triangles, 6)
    attributes = torch.rand(1, 12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    leaves = tuple(t.clone().requires_grad_() for t in (xy, depth, attributes))
    assert torch.autograd.gradcheck(lambda x, z, a: mix(a, weigh(x, z, triangles, winner), triangles, winner), leaves)


def test_attributes_alone_can_need_gradients():
    xy, depth, triangles = soup(4)
    attributes = torch.ones(2, 30, 3, dtype=torch.float64, requires_grad=True)
    fragments = rasterize(xy, depth, triangles, 16)
    interpolate(fragments, attributes, triangles).sum().backward()
    assert attributes.grad is not None
    assert attributes.grad.sum().item() == pytest.approx(3 * fragments.mask.sum().item())
