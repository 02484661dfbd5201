"""Crops: Deep3DFaceRecon's alignment and cut, its pixel rounding repeated, and placements that agree with pixels."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conventions.weights import LANDMARKER
from datamodules import crop as crops
from datamodules import deep3d
from datamodules.crop import bounds, camera_windows
from datamodules.video import iterate_frames
from face3d.keypoints import STANDARD_FIVE
from face3d.landmarker import Landmarker, find_faces

FIVE_OF_68 = {36: 0, 39: 0, 42: 1, 45: 1, 30: 2, 48: 3, 54: 4}


@settings(max_examples=30)
@given(st.floats(60, 400), st.floats(200, 1700), st.floats(200, 900))
def test_alignment_finds_the_standard_face(pixels_per_unit: float, x: float, y: float) -> None:
    """The standard face drawn at a known place and size gives back that place and size."""
    landmarks = np.zeros((1, 68, 2))
    for index, point in FIVE_OF_68.items():
        landmarks[0, index] = STANDARD_FIVE[point, :2] * [pixels_per_unit, -pixels_per_unit] + [x, y]
    width, height, s, t0, t1 = crops.align(landmarks, 1920, 1080)[0]
    assert (width, height) == (1920, 1080)
    assert s == pytest.approx(102 / pixels_per_unit, rel=1e-5)
    assert (t0, height - t1) == pytest.approx((x, y), abs=1e-3)


def test_whole_pixels_repeat_the_published_cut() -> None:
    """Resizing and cutting as Deep3DFaceRecon does shows what our window says, to a fraction of a pixel."""
    y, x = np.mgrid[:240, :320].astype(np.float32)
    w0, h0, s, t0, t1 = 320.0, 240.0, 1.37, 171.3, 118.6
    w, h = int(w0 * s), int(h0 * s)
    left, top = int(w / 2 - 112 + (t0 - w0 / 2) * s), int(h / 2 - 112 + (h0 / 2 - t1) * s)
    box = (left, top, left + 224, top + 224)
    seen_x, seen_y = (
        np.asarray(Image.fromarray(plane).resize((w, h), Image.Resampling.BICUBIC).crop(box)) for plane in (x, y)
    )
    params = np.array([[w0, h0, s, t0, t1]])
    cx, cy, half = crops.camera_windows(params, 320, 240, whole_pixels=True)[0]
    steps = (np.arange(224) + 0.5) / 112 - 1
    np.testing.assert_allclose(seen_x[100], cx + half * steps - 0.5, atol=0.1)
    np.testing.assert_allclose(seen_y[:, 100], cy + half * steps - 0.5, atol=0.3)


def test_params_of_another_picture_size_scale_with_it() -> None:
    params = np.array([[256.0, 256.0, 0.9, 120.0, 140.0]])
    np.testing.assert_allclose(
        crops.camera_windows(params, 512, 512), 2 * crops.camera_windows(params, 256, 256), rtol=1e-9
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_placement_maps_the_camera_frame_into_the_crop(seed: int) -> None:
    random = np.random.default_rng(seed)
    windows = np.column_stack([random.uniform(300, 400, (7, 2)), random.uniform(80, 120, 7)])
    crop = crops.fixed_crop(windows)
    place = crops.placement(windows, crop)
    camera = random.uniform(-1, 1, (7, 2))
    source = windows[:, :2] + windows[:, 2:] * camera
    np.testing.assert_allclose(place[:, :1] * camera + place[:, 1:], crops.to_crop(source, crop), atol=1e-5)


def test_a_steady_face_has_the_default_placement() -> None:
    windows = np.tile([320.0, 240.0, 100.0], (9, 1))
    crop = crops.fixed_crop(windows)
    np.testing.assert_allclose(crops.placement(windows, crop), np.tile([1 / 1.3, 0, 0], (9, 1)), atol=1e-6)


@pytest.mark.parametrize("size", [32, 64, 200])
def test_a_landmark_falls_on_its_pixel(size: int) -> None:
    """A dot drawn in the source appears in the crop where `to_crop` says."""
    picture = np.zeros((400, 500, 3), np.uint8)
    picture[196:205, 296:305] = 255
    crop = (287.3, 210.9, 77.7)
    pixels = crops.cut(picture, crop, size).astype(float)[..., 0]
    centre = (np.argwhere(pixels > 127) + 0.5).mean(axis=0)[::-1] / size * 2 - 1
    np.testing.assert_allclose(centre, crops.to_crop(np.array([300.5, 200.5]), crop), atol=1.2 / size)


def test_edges_repeat_outside_the_picture() -> None:
    picture = np.full((40, 40, 3), 10, np.uint8)
    picture[:, -1] = 200
    pixels = crops.cut(picture, (60.0, 20.0, 15.0), 30)
    assert (pixels == 200).all()


def test_shrinking_does_not_alias() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, ::2] = 255
    pixels = crops.cut(picture, (256.0, 256.0, 250.0), 50)
    assert np.abs(pixels.astype(int) - 127).max() <= 6


def published_alignment(landmarks: np.ndarray, width: int, height: int) -> tuple[float, float, float, float, float]:
    """The published least squares for one frame, written out: rows for x and for y, eight unknowns, pixel indices."""
    corners = [[36, 39], [42, 45], [30], [48], [54]]
    five = np.stack([landmarks[index].mean(axis=0) for index in corners]) - 0.5
    five[:, 1] = height - 1 - five[:, 1]
    system, seen = np.zeros((10, 8)), np.zeros(10)
    for index, (standard, point) in enumerate(zip(STANDARD_FIVE, five, strict=True)):
        system[2 * index, :4] = system[2 * index + 1, 4:] = [*standard, 1]
        seen[2 * index : 2 * index + 2] = point
    x = np.linalg.lstsq(system, seen, rcond=None)[0]
    scale = (np.linalg.norm(x[:3]) + np.linalg.norm(x[4:7])) / 2
    return width, height, float(102 / scale), x[3], x[7]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_alignment_is_the_published_least_squares(seed: int) -> None:
    landmarks = np.random.default_rng(seed).uniform(100, 400, (3, 68, 2)).astype(np.float32)
    expected = [published_alignment(frame.astype(float), 640, 480) for frame in landmarks]
    np.testing.assert_allclose(deep3d.transform_params(landmarks, 640, 480), expected, rtol=1e-4, atol=1e-2)


@settings(max_examples=30)
@given(st.floats(30, 400), st.floats(300, 1600), st.floats(300, 800))
def test_a_face_of_any_size_lies_on_the_template(pixels_per_unit: float, x: float, y: float) -> None:
    """Landmarks through their params into the network's frame: one decimetre is 102 pixels about its middle."""
    landmarks = np.zeros((1, 68, 2), np.float32)
    places = STANDARD_FIVE[:, :2] * [1, -1]
    for index, point in {36: 0, 39: 0, 42: 1, 45: 1, 30: 2, 48: 3, 54: 4}.items():
        landmarks[0, index] = places[point] * pixels_per_unit + [x, y]
    windows = camera_windows(deep3d.transform_params(landmarks, 1920, 1080), 1920, 1080, whole_pixels=True)
    seen = (landmarks[0, [36, 42, 30, 48, 54]] - windows[0, :2]) / windows[0, 2] * 112
    half_source_pixel = 0.5 * 102 / pixels_per_unit
    np.testing.assert_allclose(seen, 102 * places, atol=1.6 + half_source_pixel)


@pytest.mark.parametrize(
    "params",
    [
        (320, 240, 1.37, 171.3, 118.6),
        (320, 240, 0.61, 160.2, 120.7),
        (320, 240, 1.1, 12.0, 231.0),
        (320, 240, 0.9, 309.0, 3.0),
        (320, 240, 2.0, 900.0, 120.0),
    ],
)
def test_the_cut_shows_what_deep3d_shows(params: tuple[float, ...]) -> None:
    """The whole image resized, then cut, black outside: to a grey level, from a part of the image."""
    picture = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    row = np.array(params, np.float32)
    w0, h0, s, t0, t1 = (float(value) for value in row)
    w, h = int(w0 * s), int(h0 * s)
    left, up = int(w / 2 - 112 + (t0 - w0 / 2) * s), int(h / 2 - 112 + (h0 / 2 - t1) * s)
    whole = Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, up, left + 224, up + 224))).astype(int)
    cx, cy, half = camera_windows(row[None], 320, 240, whole_pixels=True)[0].tolist()
    x0, y0, x1, y1 = bounds((cx, cy, half), 224)
    x0, y0 = min(max(x0, 0), 300), min(max(y0, 0), 220)
    seen = deep3d.cut_frame(picture[y0:y1, x0 : max(x1, x0 + 20)], (x0, y0), row)
    assert np.abs(seen.astype(int) - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.real
def test_alignment_meets_given_files_of_real_clips(real_data: Path, real_weights: Path) -> None:
    """Params of MediaPipe's landmarks against those in given `.mat` files, which come from another detector's."""
    seen, given = [], []
    with Landmarker(real_weights / LANDMARKER.name) as landmarker:
        for video in sorted([*(real_data / "mead_styles").glob("*.mp4"), *(real_data / "talking").glob("*.mp4")]):
            params = scipy.io.loadmat(video.with_suffix(".mat"))["transform_params"]
            for frame in itertools.islice(iterate_frames(video), 0, 80, 20):
                picture = frame.rgb()
                faces = find_faces(landmarker, picture)
                assert faces is not None
                height, width = picture.shape[:2]
                seen.append(deep3d.transform_params(faces.landmarks[None], width, height)[0])
                given.append(params[frame.source_index])
    ours, theirs = np.array(seen), np.array(given)
    np.testing.assert_array_equal(ours[:, :2], theirs[:, :2])
    scale = ours[:, 2] / theirs[:, 2] - 1
    away = np.linalg.norm((ours - theirs)[:, 3:], axis=1) / (224 / theirs[:, 2])
    print(
        f"scale {scale.mean():+.3f}, sd {scale.std():.3f}; place {away.mean():.4f} of the frame, max {away.max():.4f}"
    )
    assert abs(scale.mean()) < 0.03
    assert np.abs(scale).max() < 0.08
    assert away.mean() < 0.02
    assert np.corrcoef(ours[:, 3], theirs[:, 3])[0, 1] > 0.95
    assert np.corrcoef(ours[:, 4], theirs[:, 4])[0, 1] > 0.9
