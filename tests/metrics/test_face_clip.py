"""`FaceClip`: crops of SyncNet's pipeline, frames part by part, and what the protocol makes of awkward clips."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_suite import Pooled, clip, full_suite, sound

from metrics.face_clip import (
    GREY,
    FaceClip,
    HeldFrames,
    Part,
    TensorFrames,
    as_images,
    cut_windows,
    filled,
    frames_sha256,
    part_length,
    sync_boxes,
)
from metrics.networks import Networks
from metrics.protocol import METRIC_NAMES, USES, protocol_name
from metrics.suite import Suite


def box_landmarks(boxes: np.ndarray, size: float = 100.0) -> torch.Tensor:
    """Landmarks that fill boxes (left, top, right, bottom) in px."""
    corners = torch.from_numpy(boxes).float()[:, [0, 1, 2, 3]].reshape(-1, 2, 2)
    return corners.repeat(1, 34, 1) / size * 2 - 1


def test_syncs_boxes_are_those_of_the_official_pipeline() -> None:
    """Frame by frame in the words of run_pipeline.py: median of 13, 40 % wider, more below than above."""
    random = np.random.default_rng(0)
    left, top = random.uniform(20, 30, (2, 40))
    boxes = np.stack([left, top, left + 30, top + random.uniform(35, 40, 40)], axis=1)
    found = sync_boxes(box_landmarks(boxes), 100, 100)
    boxes[:, 1] -= 0.14 * (boxes[:, 3] - boxes[:, 1])
    sides = np.maximum(boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]) / 2
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for frame in range(6, 34):
        window = slice(frame - 6, frame + 7)
        s, (x, y) = np.median(sides[window]), np.median(centres[window], axis=0)
        cut = [x - s * 1.4, y - s, x + s * 1.4, y + s * 1.8]
        cx, cy, half = found[frame].tolist()
        assert [cx - half, cy - half, cx + half, cy + half] == pytest.approx(cut, abs=1e-3)


def test_lost_frames_take_the_nearest_box_and_none_gives_none() -> None:
    landmarks = box_landmarks(np.tile([[20.0, 20, 60, 60]], (20, 1)))
    lost = landmarks.clone()
    lost[5:9] = torch.nan
    torch.testing.assert_close(sync_boxes(lost, 100, 100), sync_boxes(landmarks, 100, 100))
    assert filled(torch.full((3, 68, 2), torch.nan)).isnan().all()


def test_windows_are_cut_where_they_lie_with_grey_beyond_the_frame() -> None:
    y, x = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(100) + 0.5, indexing="ij")
    images = torch.stack([x / 100, y / 80, torch.zeros_like(x)])[None].expand(2, -1, -1, -1)
    crops = cut_windows(images, torch.tensor([[50.0, 40, 20], [0.0, 0.0, 40]]), 40)
    torch.testing.assert_close(crops[0, 0, 20, 20], torch.tensor(0.505), atol=0.01, rtol=0)
    torch.testing.assert_close(crops[0, 1, 0, 0], torch.tensor(20.5 / 80), atol=0.01, rtol=0)
    torch.testing.assert_close(crops[1, :, 5, 5], torch.full((3,), GREY))


def test_frames_come_in_parts_of_bounded_size_and_again() -> None:
    assert part_length(256, 256) == 32
    assert part_length(1080, 1920) == 1
    frames = TensorFrames(clip(70))
    for _ in range(2):
        assert torch.equal(torch.cat([part.pictures for part in frames]), frames.images)
    held = HeldFrames(Part(clip(1)), 70)
    assert torch.equal(torch.cat([part.pictures for part in held]), clip(1).expand(70, -1, -1, -1))


def test_frames_have_one_digest_in_memory_in_parts_and_as_floats() -> None:
    frames = clip(40)
    digest = frames_sha256(TensorFrames(frames))
    assert frames_sha256(TensorFrames(as_images(frames))) == digest
    assert frames_sha256(TensorFrames(frames.roll(1, 0))) != digest
    assert frames_sha256(TensorFrames(frames.reshape(40, 3, 8, 32))) != digest


def test_rows_of_one_truth_are_those_of_each_alone() -> None:
    true, source = clip(45, 1), clip(1, 2)
    whole = FaceClip.from_store(true, None, sound(45), source).with_generated(clip(45, 3)).with_references()
    rows = full_suite().score(whole)
    assert list(rows) == ["per_clip", "ground_truth", "copy_source"]
    for row, frames in (("per_clip", clip(45, 3)), ("ground_truth", true), ("copy_source", source.expand_as(true))):
        alone = full_suite().score_clip(frames, true, sound(45), source)
        for name in METRIC_NAMES:
            assert rows[row][name] == pytest.approx(alone[name], abs=1e-4, nan_ok=True), (row, name)


def test_the_result_does_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics import face_clip

    suites = full_suite(), full_suite()
    whole = suites[0].score_clip(clip(45), clip(45, 1), sound(45), clip(1))
    monkeypatch.setattr(face_clip, "PIXELS_AT_ONCE", 7 * 16 * 16)
    parts = suites[1].score_clip(clip(45), clip(45, 1), sound(45), clip(1))
    assert {k: v for k, v in parts.items() if k != "why"} == pytest.approx(
        {k: v for k, v in whole.items() if k != "why"}, abs=1e-5, nan_ok=True
    )
    totals = [suite.aggregate([row]) for suite, row in zip(suites, (whole, parts), strict=True)]
    assert totals[0] == pytest.approx(totals[1], abs=1e-4, nan_ok=True)


def test_the_source_is_never_among_the_scored_frames() -> None:
    true = clip(30)
    held = true[3:4].expand_as(true)
    plain = full_suite().score_clip(held, true, sound(30), true[3:4])
    fair = full_suite().score_clip(held, true, sound(30), true[3:4], source_index=3)
    others = [i for i in range(30) if i != 3]
    assert fair["frames"] == 29
    assert fair["PSNR"] < plain["PSNR"] - 2, "one frame in thirty stood at 100 dB"
    without = full_suite().score_clip(held[others], true[others], sound(30), true[3:4])
    assert fair["PSNR"] == pytest.approx(without["PSNR"])
    assert fair["CSIM"] == pytest.approx(without["CSIM"])


class Broken(Pooled):
    """A network that gives NaN for the third frame, although it has a face."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        found = super().features(images).clone()
        found[2:3] = torch.nan
        return found


@pytest.mark.parametrize("role", ["emotion", "identity", "fid"])
def test_nan_from_a_network_is_a_named_reason_and_no_number(role: str) -> None:
    suite = full_suite(**{role: Broken()})
    row = suite.score_clip(clip(), clip(seed=1), sound(), clip(1), emotion=1)
    metric = {"emotion": "EFD", "identity": "CSIM", "fid": "FID"}[role]
    total = suite.aggregate([row])[metric]
    assert math.isnan(total)
    if role != "fid":
        assert "the network pooled gave values that are not finite in 1 of 40" in str(row["why"])
    assert row["PSNR"] > 0


def dark(frames: torch.Tensor, start: int) -> torch.Tensor:
    frames = frames.clone()
    frames[start:] = 0
    return frames


AWKWARD = {
    "no face in the truth": (clip(30), dark(clip(30), 0), sound(30), {"LMD": "no face in the truth"}),
    "faces lost half-way": (clip(30), dark(clip(30), 15), sound(30), {}),
    "no audio": (clip(30), clip(30, 1), torch.zeros(0), {"Sync": "no audio", "SilentLips": "no audio"}),
    "silent": (clip(30), clip(30, 1), torch.zeros(30 * 640), {"Sync": "no voice in the audio"}),
    "three frames": (clip(3), clip(3, 1), sound(30)[: 3 * 640], {"Sync": "3 frames, 21 with audio are needed"}),
    "one frame": (clip(1), clip(1, 1), sound(30)[:640], {"LipDynamics": "under two frames"}),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_clips_have_a_value_or_a_named_reason_for_each_metric(name: str) -> None:
    generated, true, audio, expected = AWKWARD[name]
    row = full_suite().score_clip(generated, true, audio, clip(1), emotion=0)
    why = dict(part.split(": ", 1) for part in str(row["why"]).split("; ") if part)
    for metric in METRIC_NAMES:
        if metric not in ("FID", "FVD", "EFID"):
            assert math.isfinite(float(row[metric])) != (metric in why), (metric, row[metric], why)
    for metric, text in expected.items():
        assert why[metric].startswith(text)


def test_whole_frames_have_another_protocol_and_no_sync() -> None:
    suite = Suite(Networks(**dict.fromkeys(USES, Pooled())), "none")
    assert suite.protocol == protocol_name("none") != protocol_name()
    base = FaceClip.from_store(clip(40), None, sound(40)).with_generated(clip(40, 1))
    row = suite.score(replace(base, crop="none"))["per_clip"]
    assert math.isnan(float(row["Sync"]))
    assert "Sync: SyncNet takes face crops, the whole frame is scored" in str(row["why"])


def test_frames_of_another_size_or_number_are_refused() -> None:
    base = FaceClip.from_store(clip(10), None, sound(10))
    for other in (clip(9), clip(10)[:, :, :12]):
        with pytest.raises(ValueError, match="against 10 frames of 16 x 16 px"):
            full_suite().score(base.with_generated(other))
