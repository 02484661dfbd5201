"""Picture quality of a clip: PSNR and SSIM of each frame, by torchmetrics."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

PSNR_CEILING = 100.0
"""dB given to two equal frames: beyond what two different 8-bit frames reach, and a number that a mean survives."""

SSIM_WINDOW = 11
"""Side in px of the Gaussian window (sigma 1.5) that torchmetrics uses by default."""


def to_unit(images: Float[Tensor, "t c h w"]) -> Float[Tensor, "t c h w"]:
    """Images in [-1, 1] as images in [0, 1]."""
    return (images + 1) / 2


def frame_psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """PSNR in dB of each frame; images in [-1, 1], peak = the whole range; at most `PSNR_CEILING`."""
    pictures = to_unit(generated).double(), to_unit(true).double()
    values = peak_signal_noise_ratio(*pictures, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return values.clamp(max=PSNR_CEILING).float().reshape(-1)


def frame_ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """SSIM of each frame (Wang et al. 2004), mean over full windows and colours; images in [-1, 1], at least 11 px."""
    if min(generated.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs frames of at least {SSIM_WINDOW} px, got {tuple(generated.shape[-2:])}")
    whole: Any = structural_similarity_index_measure(
        to_unit(generated), to_unit(true), data_range=1.0, reduction="none", return_full_image=True
    )
    border = SSIM_WINDOW // 2  # torchmetrics' own mean counts windows that reach beyond the frame
    return whole[1][..., border:-border, border:-border].mean(dim=(1, 2, 3))


def psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """Mean over frames of the PSNR in dB; pooling the squared error over frames first would give another number."""
    return frame_psnr(generated, true).mean()


def ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """Mean over frames of SSIM, 1 for equal frames."""
    return frame_ssim(generated, true).mean()


def mean_of_frames(values: Float[Tensor, " t"], scored: Tensor | None = None) -> Float[Tensor, ""]:
    """Mean of a value over the frames in the mask `scored` [t] (all by default); NaN values are left out."""
    return torch.nanmean(values if scored is None else values[scored])
