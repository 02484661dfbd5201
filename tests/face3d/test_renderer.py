"""The renderer: what it draws, light and normals, gradients on coefficients, motion that warps image to image."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from face3d.grid import warp
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer, warp_source
from face3d.shading import harmonics, shade, summed_normals, vertex_normals


def test_a_rendering_has_its_parts(small_head, coefficients, placement):
    renderer = Renderer(small_head, 48)
    out = renderer(coefficients, placement)
    assert out.image.shape == (3, 3, 48, 48)
    assert set(out.mask.unique().tolist()) == {0.0, 1.0}
    assert (out.image[(out.mask == 0).expand_as(out.image)] == -1).all()
    assert out.image.abs().max() <= 1
    torch.testing.assert_close(out.keypoints, renderer.keypoints(coefficients, placement))
    torch.testing.assert_close(out.vertices, small_head.shape(coefficients[:, :80], coefficients[:, 80:144]))
    assert not renderer.state_dict()


def test_each_face_of_a_batch_is_drawn_alone(small_head, coefficients, placement):
    renderer = Renderer(small_head, 32)
    together = renderer(coefficients, placement).image
    alone = torch.cat([renderer(coefficients[k : k + 1], placement[k : k + 1]).image for k in range(3)])
    torch.testing.assert_close(together, alone)


def test_the_same_picture_twice(small_head, coefficients, placement):
    renderer = Renderer(small_head, 32)
    assert torch.equal(renderer(coefficients, placement).image, renderer(coefficients, placement).image)


@pytest.mark.parametrize("index", [0, 5, 85, 100, 150, 224, 225, 226, 227, 229, 240, 254, 255, 256])
def test_gradients_match_finite_differences(small_head, coefficients, placement, index):
    """Inner pixels only: at a silhouette the image jumps, which no rasteriser of this kind differentiates."""
    renderer = Renderer(small_head, 40)
    base = coefficients[:1].clone()
    seen = renderer(base, placement[:1]).mask
    inner = 1 - torch.nn.functional.max_pool2d(1 - seen, 5, stride=1, padding=2)
    assert inner.sum() > 200
    pattern = torch.rand(inner.shape[-2:], dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(values):
        return (renderer(values, placement[:1]).image * inner * pattern).sum()

    leaf = base.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    step = torch.zeros_like(base)
    step[0, index] = 1e-5
    difference = (loss(base + step) - loss(base - step)) / 2e-5
    assert gradient[0, index].item() == pytest.approx(difference.item(), rel=2e-2, abs=0.02)


def test_mixed_precision_does_not_reach_the_geometry(small_head, coefficients, placement):
    tensors = {f.name: getattr(small_head, f.name) for f in fields(small_head)}
    single = replace(
        small_head, **{k: v.float() for k, v in tensors.items() if torch.is_tensor(v) and v.is_floating_point()}
    )
    renderer, values, place = Renderer(single, 32), coefficients.float(), placement.float()
    expected = renderer(values, place)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = renderer(values, place)
    assert torch.equal(found.image, expected.image)
    narrow = renderer(values.bfloat16(), place.bfloat16())
    assert narrow.image.dtype == torch.float32
    assert renderer.keypoints(values.bfloat16(), place.bfloat16()).dtype == torch.float32


def test_keypoints_have_gradients(small_head, coefficients, placement):
    leaf = coefficients.clone().requires_grad_()
    renderer = Renderer(small_head, 16)
    assert torch.autograd.gradcheck(lambda c: renderer.keypoints(c, placement), (leaf,), fast_mode=True)


def test_no_motion_between_equal_faces(small_head, coefficients, placement):
    flow, visible = Renderer(small_head, 32).motion(coefficients, placement, coefficients, placement)
    assert flow.abs().max() < 1e-9
    assert torch.equal(visible, Renderer(small_head, 32)(coefficients, placement).mask)


def test_shifted_placement_is_a_constant_flow(small_head, coefficients):
    """A crop moved by 4 pixels to the right: the source lies 4 pixels to the left of each target pixel."""
    here = torch.tensor([[0.77, 0.0, 0.0]], dtype=torch.float64)
    there = here + torch.tensor([0.0, 4 * 2 / 64, 0.0], dtype=torch.float64)
    flow, visible = Renderer(small_head, 64).motion(coefficients[:1], here, coefficients[:1], there)
    seen = visible[0, 0] > 0
    torch.testing.assert_close(flow[0, 0][seen], torch.full_like(flow[0, 0][seen], -4 * 2 / 64))
    assert flow[0, 1].abs().max() < 1e-9


def test_warping_the_source_by_its_motion_gives_the_target(small_head, coefficients, placement):
    """Under the same even light the warped source equals the target wherever both see the face."""
    source, target = coefficients[:1].clone(), coefficients[:1].clone()
    source[:, 227:254] = target[:, 227:254] = 0
    target[:, 80:144] = -source[:, 80:144]
    target[:, 224:227] += torch.tensor([0.15, -0.2, 0.1])
    renderer = Renderer(small_head, 96)
    flow, visible = renderer.motion(source, placement[:1], target, placement[1:2])
    first, second = renderer(source, placement[:1]), renderer(target, placement[1:2])
    inner = 1 - torch.nn.functional.max_pool2d(1 - visible, 5, stride=1, padding=2)
    assert inner.sum() > 1500
    error = ((warp(first.image, flow) - second.image).abs() * inner).sum() / inner.sum() / 3
    unmoved = ((first.image - second.image).abs() * inner).sum() / inner.sum() / 3
    assert error < 0.01
    assert error < unmoved / 5
    assert flow.abs().amax() > 0.1


def test_what_is_hidden_in_the_source_is_not_visible():
    """A small plate before a large one; moving it aside shows what the source hides."""
    plate = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    vertices = torch.cat([plate, plate * 0.3 + torch.tensor([0.0, 0, 1])])
    move = torch.zeros(1, 8, 3)
    move[0, 4:, 0] = 1.0
    model = MorphableModel(
        name="plates",
        mean_shape=vertices,
        identity_basis=torch.zeros(1, 8, 3),
        expression_basis=move,
        mean_texture=torch.ones(8, 3),
        texture_basis=torch.zeros(1, 8, 3),
        triangles=torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]),
        keypoints=torch.arange(68) % 8,
    )
    source, target = torch.zeros(1, 257), torch.zeros(1, 257)
    target[0, 80] = 0.6
    place = torch.tensor([[0.8, 0.0, 0.0]])
    flow, visible = Renderer(model, 64).motion(source, place, target, place)
    assert visible[0, 0, 32, 32] == 0
    assert visible[0, 0, 32, 45] == 1
    assert flow[0, 0, 32, 45] < -0.3
    assert visible[0, 0, 10, 32] == 1
    assert flow[0, :, 10, 32].abs().max() < 1e-6


def test_the_portraits_own_coefficients_leave_it_as_it_is(small_head, coefficients, placement):
    renderer, picture = Renderer(small_head, 48), torch.rand(3, 48, 48) * 2 - 1
    own = coefficients[:1].expand(20, -1), placement[:1].expand(20, -1)
    frames = warp_source(renderer, picture, coefficients[0], placement[0], *own)
    assert frames.shape == (20, 3, 48, 48)
    torch.testing.assert_close(frames, picture.expand_as(frames), atol=1e-3, rtol=0)


def test_the_warped_portrait_is_nearer_to_the_moved_face_than_the_portrait(small_head, coefficients, placement):
    renderer = Renderer(small_head, 64)
    moved = coefficients[:1].repeat(3, 1)
    moved[:, 224:227] += torch.tensor([[0.0, 0.1, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 0.15]])
    places = placement[:1].expand(3, -1)
    source, true = renderer(coefficients[:1], placement[:1]), renderer(moved, places)
    picture = source.image[0].float()
    frames = warp_source(renderer, picture, coefficients[0], placement[0], moved, places)
    face = true.mask.bool().expand_as(frames)
    warped, held = ((one - true.image).abs()[face].mean() for one in (frames, picture.expand_as(frames)))
    assert warped < 0.6 * held
    coarse = warp_source(Renderer(small_head, 32), picture, coefficients[0], placement[0], moved, places)
    assert ((coarse - true.image).abs()[face].mean()) < 0.9 * held


def test_off_the_face_the_portrait_stays(small_head, coefficients, placement):
    renderer, picture = Renderer(small_head, 48), torch.rand(3, 48, 48) * 2 - 1
    frames = warp_source(renderer, picture, coefficients[0], placement[0], coefficients[1:2], placement[1:2])
    outside = renderer(coefficients[1:2], placement[1:2]).mask[0, 0] == 0
    torch.testing.assert_close(frames[0][:, outside], picture[:, outside], atol=1e-5, rtol=0)


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
