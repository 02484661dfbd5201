"""Frames beyond the training resolution: the portrait's own pixels, moved; nothing stretched inside a mouth."""

import math
from dataclasses import replace

import hef_world as world
import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from face3d.camera import default_placement
from face3d.coefficients import EXPRESSION, NUM_COEFFICIENTS
from face3d.grid import identity_grid, warp
from face3d.morphable import MorphableModel, load_model
from face3d.renderer import Renderer
from lightning_modules.hef.enlarge import (
    Enlarger,
    Place,
    Source,
    sample_twofold,
    stretch,
    to_bytes,
    twofold,
    up,
    warped_share,
)
from lightning_modules.hef.flow import Flows
from lightning_modules.hef.generator import Animation
from lightning_modules.hef.module import HEFModule
from lightning_modules.hef.outline import INNER_LIPS, distance, distance_near, smooth_lips

SIZE, R = 192, 32


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_model("procedural-v1")


def smooth_picture(size: int = SIZE, seed: int = 0) -> Float[Tensor, "3 s s"]:
    """Random structure coarse enough to be sampled between pixels."""
    coarse = torch.rand(1, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(seed))
    return up(coarse, size)[0].clamp(0.1, 0.9) * 2 - 1


def place_of(size: float, roll: float = 0.0, half: float | None = None) -> Place:
    half = half or size / 2
    cos, sin = half * math.cos(roll), half * math.sin(roll)
    matrix = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    return Place(matrix, torch.tensor([size / 2, size / 2], dtype=torch.float64))


def source_of(picture: Float[Tensor, "3 s s"], size: int = R) -> Source:
    image = F.interpolate(picture[None], (size, size), mode="area")[0]
    return Source(image, torch.zeros(1, NUM_COEFFICIENTS), default_placement(1), torch.zeros(1, 68, 2))


def turned_square(picture: Float[Tensor, "3 s s"], roll: float, size: int) -> Float[Tensor, "3 r r"]:
    """What a square turned clockwise by `roll` shows of the image, as large as it."""
    turn = torch.tensor([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    return F.grid_sample(picture[None], identity_grid(size, size) @ turn.T, padding_mode="border", align_corners=False)[
        0
    ]


def enlarger(model: MorphableModel, picture: Float[Tensor, "3 s s"], place: Place, source: Source) -> Enlarger:
    return Enlarger(model, source, to_bytes(picture[None])[0], place)


def animation(source: Source, flow: Float[Tensor, "b 2 r r"]) -> Animation:
    """A network that shows the warped source and draws nothing."""
    visible = torch.ones(len(flow), 1, *flow.shape[2:])
    image = warp(source.image[None].expand(len(flow), -1, -1, -1), flow)
    return Animation(image, [image], Flows([flow], [visible]))


def rows_of(model: MorphableModel, count: int = 1, **movements: float) -> Float[Tensor, "b 257"]:
    rows = torch.zeros(count, NUM_COEFFICIENTS)
    for name, value in movements.items():
        rows[:, EXPRESSION.start + model.expression_names.index(name)] = value
    return rows


def test_at_the_training_size_frames_are_those_of_the_network() -> None:
    torch.manual_seed(0)
    encoder = world.HashEncoder()
    hef = HEFModule(world.tiny_config(), encoder, world.renderer()).eval()
    rows, places = world.faces(3, torch.Generator().manual_seed(1))
    image = hef.renderer(rows[:1], places[:1]).image
    made = hef.drive(
        hef.encode_source(image, rows[:1], places[:1]), rows, places, encoder.encode_text(["sad"]).repeat(3)
    )
    source = Source(image[0], rows[:1], places[:1], torch.zeros(1, 68, 2))
    drawer = Enlarger(world.ball(), source, to_bytes(image)[0], place_of(16))
    assert torch.equal(torch.stack(list(drawer.frames(made, rows, places))), to_bytes(made.image))


@pytest.mark.parametrize("roll", [0.0, 0.3, -1.2])
def test_a_face_at_rest_is_the_portrait_itself(head: MorphableModel, roll: float) -> None:
    picture = smooth_picture()
    picture[:, ::2] += 0.1  # detail that R pixels cannot hold
    source, place = source_of(picture), place_of(SIZE, roll, SIZE / 4)
    made = animation(source, torch.zeros(1, 2, R, R))
    [frame] = enlarger(head, picture, place, source).frames(made, rows_of(head), default_placement(1))
    assert int((frame.int() - to_bytes(picture[None])[0].int()).abs().max()) <= 1


@pytest.mark.parametrize("roll", [0.0, 0.5])
def test_motion_moves_the_portraits_own_pixels_along_the_turned_square(head: MorphableModel, roll: float) -> None:
    size, resolution = 256, 128
    picture = F.avg_pool2d(smooth_picture(size)[None], 9, 1, 4)[0]
    source, place = source_of(picture, resolution), place_of(size, roll)
    if roll:
        source = replace(source, image=turned_square(picture, roll, resolution))
    offset = torch.tensor([8 / size, 0.0])  # four pixels along the square's own x
    made = animation(source, offset[None, :, None, None].expand(1, 2, resolution, resolution).contiguous())
    drawer = enlarger(head, picture, place, source)
    drawer._guided = lambda flow, *given: (up(flow, drawer.fine), torch.zeros(1, 1, drawer.fine, drawer.fine))
    [frame] = drawer.frames(made, rows_of(head), default_placement(1))
    turned = torch.tensor([math.cos(roll), math.sin(roll)]) * (8 / size)
    expected = to_bytes(warp(picture[None], turned[None, :, None, None].expand(1, 2, size, size)))[0].int()
    middle = slice(size // 2 - 16, size // 2 + 16)
    assert int((frame.int() - expected)[middle, middle].abs().max()) <= 3


def test_what_lies_far_from_the_head_keeps_still(head: MorphableModel) -> None:
    picture, place = smooth_picture(), place_of(SIZE, 0.1, SIZE / 4)
    source = source_of(picture)
    made = animation(source, 0.2 * torch.randn(1, 2, R, R, generator=torch.Generator().manual_seed(0)))
    [frame] = enlarger(head, picture, place, source).frames(made, rows_of(head, jaw_open=0.5), default_placement(1))
    changed = (frame.int() - to_bytes(picture[None])[0].int()).abs().amax(-1) > 1
    rows, columns = changed.nonzero(as_tuple=True)
    away = ((rows - SIZE / 2).abs().maximum((columns - SIZE / 2).abs())).max()
    assert 0 < float(away) <= SIZE / 4 * 1.15, "the square reaches that far"


def painted(head: MorphableModel, size: int, mouth: float, teeth: bool) -> tuple[Float[Tensor, "3 s s"], Tensor]:
    """A grey face with red lips, open by `mouth`; white teeth inside, or red lips all over. And its coefficients."""
    row = rows_of(head, jaw_open=mouth)
    points = Renderer(head, 16).keypoints(row, default_placement(1))
    lips = distance(points[:, 48:60], size)[0] < 0.01
    inner = distance(smooth_lips(points), size)[0] < 0
    picture = torch.full((3, size, size), 0.2)
    red, white = torch.tensor([0.6, -0.4, -0.4])[:, None, None], torch.full((3, 1, 1), 0.95)
    picture = torch.where(lips, red, picture)
    return (torch.where(inner, white, picture) if teeth else picture), row


@pytest.mark.parametrize("teeth", [False, True])
def test_a_mouth_that_opens_shows_no_stretched_lips_or_teeth(head: MorphableModel, teeth: bool) -> None:
    size, open_before = 256, 0.15 if teeth else 0.0
    picture, row = painted(head, size, open_before, teeth)
    source = Source(
        F.interpolate(picture[None], (R, R), mode="area")[0], row, default_placement(1), torch.zeros(1, 68, 2)
    )
    wide = rows_of(head, jaw_open=0.9)
    flow, seen = Renderer(head, R).motion(row, default_placement(1), wide, default_placement(1))
    smeared = F.avg_pool2d(F.pad(flow * seen, (3, 3, 3, 3), "replicate"), 7, 1)  # lips dragged over the opening
    [frame] = enlarger(head, picture, place_of(size), source).frames(
        animation(source, smeared), wide, default_placement(1)
    )
    points = Renderer(head, 16).keypoints(wide, default_placement(1))
    inside = distance(smooth_lips(points), size)[0, 0] < -0.02
    light = frame.float().mean(-1) / 127.5 - 1
    lip = float((0.6 - 0.4 - 0.4) / 3)
    bright = inside & (light > lip - 0.05)
    if not teeth:
        assert float(bright.sum() / inside.sum()) < 0.02, "dark, not the red of the lips"
        return
    before = distance(smooth_lips(Renderer(head, 16).keypoints(row, default_placement(1))), size)[0, 0] < 0
    height, was = (int(mask.any(1).sum()) for mask in (bright, before))
    assert 0 < height <= was + 3, "teeth are as high as they were"
    assert float((inside & ~bright).sum() / inside.sum()) > 0.4, "the rest is dark"


def test_transparency_moves_with_the_head_and_grey_stays_grey(head: MorphableModel) -> None:
    picture = smooth_picture().mean(0, keepdim=True).expand(3, -1, -1)
    source = source_of(picture)
    alpha = torch.zeros(SIZE, SIZE, 1, dtype=torch.uint8)
    alpha[: SIZE // 2] = 255
    rgba = torch.cat([to_bytes(picture[None])[0], alpha], dim=-1)
    flow = torch.zeros(1, 2, R, R)
    flow[:, 1] = 16 / SIZE
    made = animation(source, flow)
    coloured = Animation(made.image + torch.tensor([0.3, 0.0, -0.3])[:, None, None], made.warped, made.flows)
    drawer = Enlarger(head, source, rgba, place_of(SIZE))
    drawer._guided = lambda flow, *given: (up(flow, drawer.fine), torch.zeros(1, 1, drawer.fine, drawer.fine))
    [frame] = drawer.frames(coloured, rows_of(head), default_placement(1))
    assert frame.shape == (SIZE, SIZE, 4)
    column = frame[:, SIZE // 2, 3]
    assert abs(int((column > 127).sum()) - (SIZE // 2 - 8)) <= 1, "the edge moved up by eight pixels"
    assert int((frame[..., 0].int() - frame[..., 2].int()).abs().max()) == 0


def test_distance_is_that_of_the_nearest_edge() -> None:
    square = torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]])
    points = identity_grid(40, 40)[0]
    outside = (points.abs() - 0.5).clamp(min=0).norm(dim=-1)
    inside = (0.5 - points.abs()).amin(-1)
    expected = torch.where(inside > 0, -inside, outside)
    torch.testing.assert_close(distance(square, 40)[0, 0], expected, atol=1e-5, rtol=0)
    near = distance_near(square, 40, 0.2)[0, 0]
    torch.testing.assert_close(near[expected < 0.15], expected[expected < 0.15], atol=1e-5, rtol=0)
    assert (near[expected > 0.25] > 0.15).all()


def test_smooth_lips_pass_through_the_landmarks() -> None:
    points = torch.randn(2, 68, 2, generator=torch.Generator().manual_seed(0))
    outline = smooth_lips(points)
    torch.testing.assert_close(outline[:, ::4], points[:, list(INNER_LIPS)])


@pytest.mark.parametrize(("across", "down"), [(0.0, 0.0), (0.5, 0.0), (0.2, 0.3)])
def test_stretch_of_a_linear_flow(across: float, down: float) -> None:
    grid = identity_grid(64, 64).permute(0, 3, 1, 2)
    flow = grid * torch.tensor([across, down])[:, None, None]
    torch.testing.assert_close(stretch(flow)[..., 4:-4, 4:-4], torch.full((1, 1, 56, 56), across + down))


def waves(frequency: float, shift: float) -> Float[Tensor, "1 1 40 60"]:
    """Oblique waves of so many cycles a pixel, moved by (shift, -shift) pixels."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    return torch.sin(2 * math.pi * frequency * ((x - shift) + 0.7 * (y + shift)) + 0.3)[None, None]


@pytest.mark.parametrize(("frequency", "lost"), [(0.1, 0.02), (0.2, 0.05), (0.25, 0.06), (0.35, 0.2)])
def test_fine_structure_survives_a_move_by_parts_of_a_pixel(frequency: float, lost: float) -> None:
    for shift in (0.0, 0.25, 0.5):
        grid = identity_grid(40, 60) + torch.tensor([-2 * shift / 60, 2 * shift / 40])
        made = sample_twofold(twofold(waves(frequency, 0.0)), grid)
        error = (made - waves(frequency, shift))[..., 8:-8, 8:-8].abs().max()
        assert float(error) < (1e-4 if shift == 0 else lost)


def test_what_is_warped_at_any_scale_counts_as_warped() -> None:
    visible = [torch.full((1, 1, size, size), value) for size, value in ((8, 0.5), (16, 0.0), (32, 0.5))]
    torch.testing.assert_close(warped_share(Flows([], visible), 32), torch.full((1, 1, 32, 32), 0.75))
