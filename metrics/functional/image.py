"""Picture quality of a clip: PSNR, SSIM and LPIPS, each the mean of its per-frame values."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

PSNR_CEILING = 100.0
"""dB given to two equal frames: beyond what two different 8-bit frames reach, and a number that a mean survives."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03

PIECE = 2**22
"""Numbers of a clip taken at once: SSIM holds a dozen float64 pictures of each frame."""


def to_unit(images: Float[Tensor, "t c h w"]) -> Float[Tensor, "t c h w"]:
    """Images in [-1, 1] as images in [0, 1]."""
    return (images + 1) / 2


def frame_psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """PSNR in dB of each frame; images in [-1, 1], peak = the whole range; at most `PSNR_CEILING`."""
    error = (to_unit(generated) - to_unit(true)).double().square().mean(dim=(1, 2, 3))
    return (-10 * error.clamp(min=10 ** (-PSNR_CEILING / 10)).log10()).float()


def psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """Mean over frames of the PSNR in dB; pooling the squared error over frames first would give another number."""
    return _by_pieces(frame_psnr, generated, true).mean()


def gaussian_blur(images: Float[Tensor, "t c h w"]) -> Float[Tensor, "t c ho wo"]:
    """Gaussian means over full windows only (`SSIM_WINDOW`, `SSIM_SIGMA`): no padding."""
    offsets = torch.arange(SSIM_WINDOW, dtype=images.dtype, device=images.device) - SSIM_WINDOW // 2
    kernel = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    rows = F.conv2d(images, kernel, groups=images.shape[1])
    return F.conv2d(rows, kernel.transpose(2, 3), groups=images.shape[1])


def frame_ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """SSIM of each frame (Wang et al. 2004), mean over windows and colours; images in [-1, 1], at least 11 px wide."""
    if min(generated.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs frames of at least {SSIM_WINDOW} px, got {tuple(generated.shape[-2:])}")
    x, y = to_unit(generated).double(), to_unit(true).double()
    mean_x, mean_y = gaussian_blur(x), gaussian_blur(y)
    variance_x = gaussian_blur(x * x) - mean_x**2
    variance_y = gaussian_blur(y * y) - mean_y**2
    covariance = gaussian_blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_K1**2) / (mean_x**2 + mean_y**2 + SSIM_K1**2)
    structure = (2 * covariance + SSIM_K2**2) / (variance_x + variance_y + SSIM_K2**2)
    return (luminance * structure).mean(dim=(1, 2, 3)).float()


def ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """Mean over frames of SSIM, 1 for equal frames."""
    return _by_pieces(frame_ssim, generated, true).mean()


def frame_lpips(
    generated: Sequence[Float[Tensor, "t _c _h _w"]],
    true: Sequence[Float[Tensor, "t _c _h _w"]],
    weights: Sequence[Float[Tensor, " _c"]],
) -> Float[Tensor, " t"]:
    """LPIPS of each frame (Zhang et al. 2018) from the feature maps of some layers and each layer's channel weights."""
    total = torch.zeros(generated[0].shape[0], device=generated[0].device)
    for x, y, weight in zip(generated, true, weights, strict=True):
        difference = (unit_channels(x) - unit_channels(y)).square()
        total = total + (difference * weight[:, None, None]).sum(dim=1).mean(dim=(1, 2))
    return total


def unit_channels(features: Float[Tensor, "t c h w"], epsilon: float = 1e-10) -> Float[Tensor, "t c h w"]:
    """Feature maps whose channel vector has length 1 at each place; `epsilon` as in LPIPS."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + epsilon)


def _by_pieces(
    measure: Callable[[Tensor, Tensor], Tensor], generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]
) -> Float[Tensor, " t"]:
    """A per-frame measure of a clip of any length in bounded memory."""
    frames = max(1, PIECE // max(1, generated.shape[1:].numel()))
    return torch.cat([measure(x, y) for x, y in zip(generated.split(frames), true.split(frames), strict=True)])
