import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from metrics.functional import image


@pytest.fixture
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(4, 3, 40, 32, generator=generator) * 2 - 1
    noise = torch.tensor([0.02, 0.1, 0.3, 0.6])[:, None, None, None]
    return (true + noise * torch.randn(true.shape, generator=generator)).clamp(-1, 1), true


def unit(frame: torch.Tensor) -> np.ndarray:
    return ((frame + 1) / 2).permute(1, 2, 0).double().numpy()


def test_psnr_is_the_mean_of_frame_values(clips):
    expected = [peak_signal_noise_ratio(unit(t), unit(g), data_range=1) for g, t in zip(*clips, strict=True)]
    assert float(image.psnr(*clips)) == pytest.approx(np.mean(expected), abs=1e-4)


def test_pooled_psnr_is_another_number(clips):
    pooled = peak_signal_noise_ratio(unit(clips[1].flatten(0, 1)), unit(clips[0].flatten(0, 1)), data_range=1)
    assert float(image.psnr(*clips)) - pooled > 4


def test_equal_frames_have_a_finite_psnr(clips):
    assert float(image.psnr(clips[1], clips[1])) == pytest.approx(image.PSNR_CEILING)


def test_ssim_is_that_of_skimage(clips):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = [structural_similarity(unit(t), unit(g), channel_axis=2, **options) for g, t in zip(*clips, strict=True)]
    np.testing.assert_allclose(image.frame_ssim(*clips), expected, atol=1e-4)
    assert float(image.ssim(clips[1], clips[1])) == pytest.approx(1)


def test_ssim_refuses_frames_smaller_than_its_window():
    with pytest.raises(ValueError, match="11"):
        image.ssim(torch.zeros(1, 3, 8, 64), torch.zeros(1, 3, 8, 64))


def test_ssim_of_a_large_frame_is_that_of_skimage_whatever_the_strips(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(1, 3, 61, 50, generator=generator) * 2 - 1
    made = (true + 0.3 * torch.randn(true.shape, generator=generator)).clamp(-1, 1)
    expected = image.ssim(made, true)
    for rows in (11, 12, 20, 33, 61):
        monkeypatch.setattr(image, "STRIP", rows * 50)
        torch.testing.assert_close(image.ssim(made, true), expected)
