import logging
import math

import pytest
import torch

from metrics.face_clip import as_images
from metrics.functional import landmark_distance, psnr
from metrics.networks import Networks
from metrics.protocol import HIGHER_IS_BETTER, METRIC_NAMES, USES
from metrics.suite import Suite

NAMES = [
    *("EFD", "LMD", "LMD_face", "Sync", "SyncDistance", "SyncOffset", "CSIM", "CSIM_source", "FID", "PSNR", "SSIM"),
    *("LPIPS", "EmotionAccuracy", "FVD", "EFID", "LipDynamics", "EyebrowDynamics", "SilentLips", "LipSync"),
]


class Pooled:
    """A backbone for every role whose answers follow from coarse pixels."""

    name = "pooled"
    num_features = 12
    own_crop, trusted = False, 0.0

    def __init__(self, stand_in: bool = False) -> None:
        self.stand_in = stand_in

    def features(self, images: torch.Tensor) -> torch.Tensor:
        images = images[:, 0] if images.ndim == 5 else images
        return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)

    def embed(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return self.features(images).masked_fill(landmarks.isnan().flatten(1).any(dim=1)[:, None], torch.nan)

    coefficients = embed

    def outputs(self, images: torch.Tensor, landmarks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.embed(images, landmarks)
        return features, features[:, :8].softmax(dim=1)

    def landmarks(self, images: torch.Tensor) -> torch.Tensor:
        found = torch.nn.functional.adaptive_avg_pool2d(images, 7).flatten(1)[:, :136].reshape(-1, 68, 2)
        return found.masked_fill((images < -0.99).flatten(1).all(dim=1)[:, None, None], torch.nan)

    def audio(self, mfcc: torch.Tensor) -> torch.Tensor:
        return mfcc.mean(dim=2)

    def video(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(dim=(3, 4)).flatten(1)[:, :13]

    def distance(self, generated: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return (generated - true).square().mean(dim=(1, 2, 3))


def full_suite(**changes: Pooled) -> Suite:
    return Suite(Networks(**(dict.fromkeys(USES, Pooled()) | changes)))


def clip(frames: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (frames, 3, 16, 16), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def sound(frames: int = 40) -> torch.Tensor:
    """Noise with a pause of ten frames."""
    audio = torch.rand(frames * 640, generator=torch.Generator().manual_seed(9)) - 0.5
    audio[10 * 640 : 20 * 640] = 0
    return audio


def test_names_are_the_protocol():
    assert list(METRIC_NAMES) == NAMES
    assert set(HIGHER_IS_BETTER) == set(NAMES)


def test_a_clip_against_itself_is_perfect():
    suite = full_suite()
    rows = [suite.score_clip(clip(seed=s), clip(seed=s), sound(), clip(1, s), emotion=0) for s in range(2)]
    table = suite.aggregate(rows)
    for name, value in {
        "EFD": 0,
        "LMD": 0,
        "LMD_face": 0,
        "CSIM": 1,
        "FID": 0,
        "PSNR": 100,
        "SSIM": 1,
        "LPIPS": 0,
        "FVD": 0,
        "EFID": 0,
        "LipDynamics": 1,
        "EyebrowDynamics": 1,
        "SilentLips": 1,
        "LipSync": 1,
    }.items():
        assert table[name] == pytest.approx(value, abs=1e-4), name
    assert all(math.isfinite(table[name]) for name in NAMES)
    assert table["clips"] == 2
    assert not any(key.endswith("_missing") for key in table)


def test_rows_hold_the_functional_values():
    generated, true = clip(seed=1), clip(seed=2)
    row = full_suite().score_clip(generated, true, sound(), clip(1, 3))
    images = as_images(generated), as_images(true)
    assert row["PSNR"] == pytest.approx(float(psnr(*images)))
    found = [Pooled().landmarks(image) for image in images]
    assert row["LMD"] == pytest.approx(float(landmark_distance(*found, 256)))


def test_short_clips_and_lost_faces_are_counted_not_dropped():
    suite = full_suite()
    dark = clip(40)
    dark[:3] = 0
    rows = [
        suite.score_clip(clip(20), clip(20), sound(20), clip(1)),
        suite.score_clip(dark, clip(40), sound(40), clip(1), emotion=2),
    ]
    table = suite.aggregate(rows)
    assert math.isnan(rows[0]["Sync"])
    assert table["Sync_missing"] == 1
    assert table["Sync"] == pytest.approx(rows[1]["Sync"])
    assert table["EmotionAccuracy_missing"] == 1
    assert table["frames_without_face"] == 3
    assert table["frames"] == 60


def test_absent_backbones_leave_nan_and_stand_ins_are_marked():
    suite = Suite(Networks(landmarks=Pooled(stand_in=True), emotion=Pooled()))
    row = suite.score_clip(clip(), clip(seed=1), sound(), clip(1))
    assert math.isnan(row["CSIM"])
    assert math.isnan(suite.aggregate([row])["FID"])
    assert suite.stand_ins == set(USES["landmarks"])
    assert suite.backbones == {"landmarks": "pooled", "emotion": "pooled"}


def test_totals_belong_to_the_clips_of_the_rows():
    suite = full_suite()
    row = suite.score_clip(clip(), clip(seed=1), sound(), clip(1))
    with pytest.raises(ValueError, match="2 rows"):
        suite.aggregate([row, row])
    assert suite.fresh().num_clips == {}


def test_few_frames_make_fid_a_warning(caplog):
    suite = full_suite()
    row = suite.score_clip(clip(), clip(seed=1), sound(), clip(1))
    with caplog.at_level(logging.WARNING):
        suite.aggregate([row])
    assert "2048" in caplog.text


def test_unequal_lengths_are_cut_and_unequal_sizes_refused():
    row = full_suite().score_clip(clip(40), clip(30), sound(), clip(1))
    assert row["frames"] == 30
    with pytest.raises(ValueError, match="px"):
        full_suite().score_clip(clip(), clip()[:, :, :12], sound(), clip(1))
