"""Rows of a coefficient file belong to frames: where their numbers differ, which are missing is measured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from datamodules import clip_face
from datamodules.coefficients import read_mat
from datamodules.crop import camera_windows
from datamodules.offsets import measure_offset, mouth_opening
from datamodules.prepare import prepare
from datamodules.store import Store, describe

FRAMES = 100


def opening(frames: int = FRAMES) -> np.ndarray:
    """A mouth that opens and closes as in speech."""
    random = np.random.default_rng(3)
    return np.convolve(random.uniform(0, 0.4, frames + 4), np.ones(3) / 3, "valid")[:frames]


def expression(mouth: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(4)
    mixed = np.outer(mouth, random.standard_normal(64)) + 0.05 * random.standard_normal((len(mouth), 64))
    return mixed.astype(np.float32)


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_the_missing_rows_are_found(first: int) -> None:
    mouth = opening()
    rows = expression(mouth)[first : FRAMES - 3 + first]
    assert measure_offset(mouth, rows, range(FRAMES), 3) == first


def test_rows_that_are_left_over_are_found() -> None:
    mouth = opening(FRAMES + 2)
    assert measure_offset(mouth[2:], expression(mouth), range(FRAMES), -2) == -2


def test_no_offset_is_guessed() -> None:
    mouth, other = opening(), np.random.default_rng(9).standard_normal((FRAMES - 2, 64)).astype(np.float32)
    assert measure_offset(mouth, other, range(FRAMES), 2) is None, "of another face"
    assert measure_offset(np.full(FRAMES, 0.2), expression(mouth)[2:], range(FRAMES), 2) is None, "closed throughout"
    assert measure_offset(mouth[:20], expression(mouth)[2:20], range(20), 2) is None, "too short"


def landmarks(mouth: np.ndarray) -> np.ndarray:
    points = np.tile(np.random.default_rng(0).uniform(10, 50, (68, 2)), (len(mouth), 1, 1))
    points[:, 36], points[:, 45], points[:, 62] = (10, 10), (30, 10), (20, 30)
    points[:, 66] = np.stack([np.full(len(mouth), 20), 30 + 20 * mouth], axis=1)
    return points.astype(np.float32)


def test_the_opening_is_that_of_the_inner_lips() -> None:
    np.testing.assert_allclose(mouth_opening(landmarks(opening())), opening(), atol=1e-5)


def spoken(path: Path, clip: Callable[..., None], lost: int) -> None:
    """A clip whose `.mat` lacks its first rows."""
    clip(path, FRAMES)
    content = scipy.io.loadmat(path.with_suffix(".mat"))
    content["coeff"][:, 80:144] = expression(opening())
    kept = {name: content[name][lost:] for name in ("coeff", "transform_params")}
    scipy.io.savemat(path.with_suffix(".mat"), kept)


def test_missing_rows_shorten_the_clip_at_their_end(
    tmp_path: Path, clip: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_face, "_track", lambda pictures, *_: landmarks(opening())[: len(list(pictures))])
    weights = tmp_path / "face_landmarker.task"
    weights.write_bytes(b"-")
    spoken(tmp_path / "whole" / "talk", clip, 0)
    spoken(tmp_path / "cut" / "talk", clip, 2)
    for name in ("whole", "cut"):
        prepare(tmp_path / name, tmp_path / f"{name}.store", coefficients="mat", size=64, weights=weights)
    whole, cut = Store(tmp_path / "whole.store"), Store(tmp_path / "cut.store")
    assert (whole.num_frames, cut.num_frames) == (FRAMES, FRAMES - 2)
    assert (whole.row_offsets, cut.row_offsets) == ({}, {"talk": 2})
    np.testing.assert_array_equal(cut.coefficients, whole.coefficients[2:])
    np.testing.assert_array_equal(cut.audio, whole.audio[2:])
    difference = cut.frames(cut.clips[0], [0, 50]).astype(int) - whole.frames(whole.clips[0], [2, 52])
    assert np.abs(difference).mean() < 1
    assert describe(cut)["row_offsets"] == {"2": 1}


def test_without_a_measure_the_clip_is_left_out(tmp_path: Path, clip: Callable[..., None]) -> None:
    spoken(tmp_path / "raw" / "talk", clip, 2)
    clip(tmp_path / "raw" / "good", 20)
    report = prepare(tmp_path / "raw", tmp_path / "store", coefficients="mat", size=64)
    assert report.left_out == {"coefficients_mismatch": 1}
    assert (
        "98 rows for 100 frames; measuring which are missing needs the face landmarker" in report.details[0]["detail"]
    )


def test_windows_of_a_file_are_rounded_as_its_maker_does(tmp_path: Path, write_mat: Callable[..., np.ndarray]) -> None:
    for model, rounded in (({}, True), ({"model": "procedural-v1"}, False)):
        write_mat(tmp_path / "a.mat", 3, 61, **model)
        measured = read_mat(tmp_path / "a.mat")
        expected = camera_windows(measured.params, 61, 61, whole_pixels=rounded)
        np.testing.assert_array_equal(measured.windows(61, 61), expected)


@pytest.mark.real
def test_real_rows_begin_two_frames_late(real_data: Path, real_weights: Path, tmp_path: Path) -> None:
    for suffix in (".mp4", ".wav", ".mat"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / f"s{suffix}").write_bytes((real_data / "talking" / f"speaker_3{suffix}").read_bytes())
    prepare(tmp_path / "raw", tmp_path / "store", size=64, weights=real_weights)
    assert Store(tmp_path / "store").row_offsets == {"s": 2}
