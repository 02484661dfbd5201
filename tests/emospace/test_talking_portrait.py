"""A portrait of one's own: its face found, turned upright, cut softly, and filmed at its own size."""

import json
import math
from pathlib import Path

import hef_world as world
import numpy as np
import pytest
import scipy.io
import torch
from jaxtyping import UInt8
from PIL import Image

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from datamodules.crop import cut
from emospace.demo import write_astronaut
from emospace.talking.portrait import MOST_PIXELS, Frame, eye_line, level, read_portrait
from emospace.talking.square import Square, coverage, cut_square, fill
from face3d.camera import CROP_WIDENING, default_placement, project
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TRANSLATION
from face3d.landmarker import Landmarker, find_faces
from face3d.morphable import MorphableModel, load_model


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_model("procedural-v1")


def smooth(height: int, width: int, seed: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """Structure of about 12 pixels."""
    coarse = np.random.default_rng(seed).integers(20, 235, (height // 12, width // 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise about its middle."""
    return np.asarray(Image.fromarray(picture).rotate(-degrees, Image.Resampling.BICUBIC))


def write_portrait(
    path: Path, picture: np.ndarray, angle: tuple[float, float, float] = (0, 0, 0), half: float = 60.0
) -> None:
    """An image, and beside it the coefficients of a face in its middle."""
    Image.fromarray(picture).save(path)
    height, width = picture.shape[:2]
    coefficients = np.zeros((1, 257), np.float32)
    coefficients[:, ANGLE] = angle
    params = np.array([[width, height, 112 / half, width / 2, height / 2]], np.float32)
    content = {"coeff": coefficients, "transform_params": params, "model": "procedural-v1"}
    scipy.io.savemat(path.with_suffix(".mat"), content)


def test_an_upright_square_is_cut_as_for_training() -> None:
    picture = smooth(240, 300)
    expected = cut(picture, (140.3, 110.7, 80.2), 32)
    made = cut_square(picture, Square(140.3, 110.7, 80.2), 32)
    assert np.abs((made.permute(1, 2, 0).numpy() + 1) * 127.5 - expected).max() < 0.01


@pytest.mark.parametrize("degrees", [11, -40, 170])
def test_a_turned_square_shows_what_an_upright_one_shows_of_the_upright_picture(degrees: float) -> None:
    picture = smooth(240, 240)
    upright = cut_square(picture, Square(120.0, 120.0, 60.0), 32)
    made = cut_square(turned(picture, degrees), Square(120.0, 120.0, 60.0, math.radians(degrees)), 32)
    assert float((made - upright).abs().mean()) < 0.02


@pytest.mark.parametrize("tilt", [0.2, -0.5])
def test_coefficients_are_levelled_with_the_square(head: MorphableModel, tilt: float) -> None:
    row = 0.1 * torch.randn(257, generator=torch.Generator().manual_seed(0))

    def points(row: torch.Tensor) -> torch.Tensor:
        shape = head.shape(row[None, IDENTITY], row[None, EXPRESSION])[:, head.keypoints]
        return project(shape, row[None, ANGLE], row[None, TRANSLATION], default_placement(1))[0][0]

    cos, sin = math.cos(-tilt), math.sin(-tilt)
    expected = points(row) @ torch.tensor([[cos, -sin], [sin, cos]]).T
    torch.testing.assert_close(points(level(row, tilt)), expected, atol=1e-4, rtol=0)


def test_the_square_follows_the_tilt_of_the_head(tmp_path: Path, head: MorphableModel) -> None:
    write_portrait(tmp_path / "a.png", smooth(300, 400), (0.1, 0.2, 0.4))
    portrait = read_portrait(tmp_path / "a.png", head, 32)
    points = project(
        head.shape(torch.zeros(1, 80), torch.zeros(1, 64))[:, head.keypoints],
        portrait.reference.coefficients[None, ANGLE],
        portrait.reference.coefficients[None, TRANSLATION],
        portrait.reference.placement[None],
    )[0][0]
    assert abs(eye_line(points.numpy())) < 0.02
    assert abs(portrait.square.roll) == pytest.approx(0.4, abs=0.1)
    assert portrait.square.half == pytest.approx(60 * CROP_WIDENING)


def test_beyond_the_picture_there_are_no_streaks() -> None:
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[::2] = 255  # rows that an edge's repetition would carry on
    square = Square(20.0, 64.0, 60.0)
    made, inside = cut_square(picture, square, 120), coverage((128, 128), square, 120)[0]
    outside, seen = made[:, inside == 0].reshape(3, 120, -1), made[:, inside == 1].reshape(3, 120, -1)
    assert float(seen[:, :, -20:].std(1).mean()) > 0.9
    assert float(outside[:, :, :30].std(1).max()) < 0.1
    shown = fill(made, inside[None])
    torch.testing.assert_close(shown[:, inside == 1], made[:, inside == 1])


@pytest.mark.parametrize(
    ("shape", "frame", "expected"),
    [
        ((300, 401), Frame(), (300, 400)),
        ((301, 400), Frame(size=200), (150, 200)),
        ((300, 400), Frame(size=800), (600, 800)),
        ((1300, 2600), Frame(), (1080, MOST_PIXELS)),
        ((300, 400), Frame(crop=True), (156, 156)),
        ((300, 400), Frame(crop=True, size=64), (64, 64)),
        ((120, 400), Frame(crop=True), (120, 120)),
    ],
)
def test_films_have_the_portraits_size_or_the_wanted_one(
    tmp_path: Path, head: MorphableModel, shape: tuple[int, int], frame: Frame, expected: tuple[int, int]
) -> None:
    write_portrait(tmp_path / "a.png", smooth(*shape))
    portrait = read_portrait(tmp_path / "a.png", head, 32, frame)
    assert portrait.picture.shape == (*expected, 3)
    made = cut_square(portrait.picture, portrait.square, 32)
    inside = coverage(portrait.picture.shape[:2], portrait.square, 32)[0] == 1
    difference = (made - portrait.reference.image)[:, inside].abs().mean()
    assert float(difference) < 0.05, "the square lies where the face lies"


def test_transparent_pictures_are_composed_or_keep_their_alpha(tmp_path: Path, head: MorphableModel) -> None:
    picture = np.dstack([smooth(240, 240), np.full((240, 240), 255, np.uint8)])
    picture[:40] = (1, 2, 3, 0)
    write_portrait(tmp_path / "a.png", picture)
    red = read_portrait(tmp_path / "a.png", head, 32, background=(255, 0, 0))
    assert red.picture.shape == (240, 240, 3)
    assert red.picture[10, 10].tolist() == [255, 0, 0]
    kept = read_portrait(tmp_path / "a.png", head, 32, alpha=True)
    assert kept.picture.shape == (240, 240, 4)
    assert kept.picture[10, 10].tolist() == [255, 255, 255, 0], "what is hidden stays hidden"
    write_portrait(tmp_path / "b.png", smooth(240, 240))
    assert read_portrait(tmp_path / "b.png", head, 32, alpha=True).picture.shape == (240, 240, 3)


@pytest.mark.parametrize(("size", "line"), [(63, "odd"), (8, "outside"), (4000, "outside")])
def test_sizes_that_cannot_be(size: int, line: str) -> None:
    with pytest.raises(UserError, match=line):
        Frame(size=size)


def test_a_profile_is_refused(tmp_path: Path, head: MorphableModel) -> None:
    write_portrait(tmp_path / "a.png", smooth(240, 240), (0, 1.3, 0))
    with pytest.raises(UserError, match=r"a\.png: the face is turned by 74 degrees"):
        read_portrait(tmp_path / "a.png", head, 32)


def test_coefficients_of_another_model_are_refused(tmp_path: Path) -> None:
    write_portrait(tmp_path / "a.png", smooth(240, 240))
    with pytest.raises(UserError, match="holds coefficients of procedural-v1, these weights were trained on ball"):
        read_portrait(tmp_path / "a.png", world.ball(), 32)


@pytest.mark.real
def test_a_model_of_ones_own_is_fitted_to_a_picture_without_a_mat(real_data: Path, real_weights: Path) -> None:
    path = real_data / "portraits" / "astronaut.png"
    model = load_model("ict", real_data / "ict_facekit" / "ict_facekit.npz")
    source = read_portrait(path, model, 256, weights=real_weights).reference
    shape = model.shape(source.coefficients[None, IDENTITY], source.coefficients[None, EXPRESSION])
    place = source.placement[None]
    row = source.coefficients[None]
    points = project(shape[:, model.keypoints], row[:, ANGLE], row[:, TRANSLATION], place)[0][0]
    with Landmarker(real_weights / LANDMARKER.name) as landmarker:
        faces = find_faces(landmarker, np.uint8((source.image.permute(1, 2, 0).numpy() + 1) * 127.5))
    assert faces is not None
    seen = torch.from_numpy(faces.landmarks) / 128 - 1
    between_eyes = (seen[36] - seen[45]).norm()
    assert (points[17:] - seen[17:]).norm(dim=-1).mean() < 0.06 * between_eyes


@pytest.mark.real
@pytest.mark.parametrize("change", ["small", "huge", "grey", "tilted", "at_the_border"])
def test_odd_portraits_are_measured_alike(
    tmp_path: Path, head: MorphableModel, real_data: Path, real_weights: Path, change: str
) -> None:
    """The same face, changed: its square lies where the change has brought it."""
    picture = Image.open(real_data / "portraits" / "astronaut.png").convert("RGB")
    plain = read_portrait(real_data / "portraits" / "astronaut.png", head, 32, weights=real_weights).square
    factor, shift, roll = 1.0, (0.0, 0.0), 0.0
    if change in ("small", "huge"):
        factor = {"small": 160, "huge": 6400}[change] / 512
        picture = picture.resize((round(512 * factor),) * 2, Image.Resampling.LANCZOS)
    if change == "grey":
        picture = picture.convert("L")
    if change == "tilted":
        roll = 0.5
        picture = picture.rotate(-math.degrees(roll), Image.Resampling.BICUBIC, center=(plain.x, plain.y))
    if change == "at_the_border":
        shift = (150.0, 30.0)
        picture = picture.crop((150, 30, 512, 512))
    picture.save(tmp_path / "a.png")
    made = read_portrait(tmp_path / "a.png", head, 32, weights=real_weights)
    factor = min(factor, MOST_PIXELS / 512)
    expected = np.array([plain.x - shift[0], plain.y - shift[1], plain.half]) * factor
    found = np.array([made.square.x, made.square.y, made.square.half])
    assert np.abs(found - expected).max() < 0.06 * plain.half * factor
    assert made.square.roll - plain.roll == pytest.approx(roll, abs=0.05)


def test_landmarks_measured_beforehand_need_no_detector(tmp_path: Path, head: MorphableModel) -> None:
    """The photograph of the demo, with the landmarks that lie in the package."""
    path = write_astronaut(tmp_path)
    portrait = read_portrait(path, head, 32, weights=tmp_path / "nowhere")
    eyes = portrait.square
    assert (eyes.x, eyes.y) == pytest.approx((225, 117), abs=4)
    assert float(portrait.correction.norm(dim=-1).mean()) < 0.05


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "contains no readable landmarks"),
        ("{}", "contains no readable landmarks"),
        ('{"landmarks": [[1, 2]]}', r"shape \[1, 2\]"),
        (json.dumps({"landmarks": [[1e4, 2]] * 68}), "outside an image"),
        (json.dumps({"landmarks": [["a", 2]] * 68}), "contains no readable landmarks"),
    ],
)
def test_landmarks_that_cannot_be(tmp_path: Path, head: MorphableModel, content: str, line: str) -> None:
    Image.fromarray(smooth(240, 240)).save(tmp_path / "a.png")
    (tmp_path / "a.landmarks.json").write_text(content)
    with pytest.raises(UserError, match=line):
        read_portrait(tmp_path / "a.png", head, 32)
