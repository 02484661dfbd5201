"""Light and normals against NumPy references written from the published constants."""

import numpy as np
import pytest
import torch

from face3d.shading import harmonics, shade, summed_normals, vertex_normals


def deep3d_bands(normal):
    """Deep3DFaceRecon's nine bands at one normal, with its constants."""
    a0, a1, a2 = np.pi, 2 * np.pi / np.sqrt(3.0), 2 * np.pi / np.sqrt(8.0)
    c0, c1, c2 = 1 / np.sqrt(4 * np.pi), np.sqrt(3.0) / np.sqrt(4 * np.pi), 3 * np.sqrt(5.0) / np.sqrt(12 * np.pi)
    x, y, z = normal
    linear = [-a1 * c1 * y, a1 * c1 * z, -a1 * c1 * x]
    mixed = [a2 * c2 * x * y, -a2 * c2 * y * z]
    square = [0.5 * a2 * c2 / np.sqrt(3.0) * (3 * z**2 - 1), -a2 * c2 * x * z, 0.5 * a2 * c2 * (x**2 - y**2)]
    return np.array([a0 * c0, *linear, *mixed, *square])


def test_bands_and_colours_match_the_published_constants():
    random = np.random.default_rng(0)
    normals = random.normal(size=(20, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    gamma, albedo = random.normal(size=27) * 0.3, random.uniform(size=(20, 3))
    bands = np.stack([deep3d_bands(n) for n in normals])
    light = gamma.reshape(3, 9) + np.array([0.8] + [0.0] * 8)
    expected = albedo * (bands @ light.T)
    np.testing.assert_allclose(harmonics(torch.from_numpy(normals)).numpy(), bands, atol=1e-12)
    arguments = [torch.from_numpy(a) for a in (albedo, normals, gamma)]
    np.testing.assert_allclose(shade(*arguments).numpy(), expected, atol=1e-12)


def test_no_gamma_is_an_even_light():
    normals = torch.nn.functional.normalize(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    colour = shade(torch.ones(30, 3), normals, torch.zeros(27))
    torch.testing.assert_close(colour, torch.full((30, 3), 0.8 * np.pi / np.sqrt(4 * np.pi)))


def test_normals_of_a_sphere_point_outwards():
    trimesh = _sphere(24)
    vertices, triangles = trimesh
    normals = vertex_normals(vertices[None], triangles)[0]
    inner = vertices[:, 2].abs() < 0.95
    assert ((normals * vertices).sum(-1)[inner] > 0.99).all()


def test_normals_turn_with_the_shape():
    vertices, triangles = _sphere(8)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    turn *= torch.det(turn)
    torch.testing.assert_close(vertex_normals(vertices @ turn, triangles), vertex_normals(vertices, triangles) @ turn)


@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_compiled_normals_and_their_gradient_are_those_of_torch(batch):
    points, triangles = _sphere(6)
    generator = torch.Generator().manual_seed(0)
    vertices = points + 0.1 * torch.randn(*batch, *points.shape, dtype=torch.float64, generator=generator)
    vertices = vertices.requires_grad_()
    pull = torch.randn(vertices.shape, dtype=torch.float64, generator=generator)
    found, expected = vertex_normals(vertices, triangles), summed_normals(vertices, triangles)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((normals * pull).sum(), vertices)[0] for normals in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_a_vertex_without_triangles_has_no_normal():
    vertices, triangles = torch.eye(4, 3), torch.tensor([[0, 1, 2]])
    normals = vertex_normals(vertices, triangles)
    assert normals[3].abs().max() == 0
    assert normals[0].norm().item() == pytest.approx(1)


def _sphere(side: int):
    """A latitude-longitude sphere, counter-clockwise from outside."""
    latitude = torch.linspace(0.05, np.pi - 0.05, side, dtype=torch.float64)
    longitude = torch.arange(2 * side, dtype=torch.float64) * np.pi / side
    theta, phi = torch.meshgrid(latitude, longitude, indexing="ij")
    points = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], -1).reshape(-1, 3)
    row, column = torch.meshgrid(torch.arange(side - 1), torch.arange(2 * side), indexing="ij")
    a, b = row * 2 * side + column, row * 2 * side + (column + 1) % (2 * side)
    faces = [torch.stack([a, a + 2 * side, b], -1), torch.stack([b, a + 2 * side, b + 2 * side], -1)]
    return points, torch.cat(faces).reshape(-1, 3)
