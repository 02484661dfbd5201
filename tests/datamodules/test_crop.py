"""Crops: Deep3DFaceRecon's alignment inverted, its pixel rounding repeated, and placements that agree with pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules import crop as crops
from face3d.keypoints import STANDARD_FIVE

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
