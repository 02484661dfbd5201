"""Image quality of a clip: PSNR and SSIM of each frame, by torchmetrics."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

PSNR_CEILING = 100.0
"""dB given to two equal frames: beyond what two different 8-bit frames reach, and a number that a mean survives."""

SSIM_WINDOW = 11
"""Side in px of the Gaussian window (sigma 1.5) that torchmetrics uses by default."""

STRIP = 2**16
"""Pixels of a frame whose SSIM is computed at once: what stays in a processor's cache."""


def to_unit(images: Float[Tensor, "t c h w"]) -> Float[Tensor, "t c h w"]:
    """Images in [-1, 1] as images in [0, 1]."""
    return (images + 1) / 2


def frame_psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """PSNR in dB of each frame; images in [-1, 1], peak = the whole range; at most `PSNR_CEILING`."""
    return _by_pieces(_psnr, generated, true)


def _psnr(generated: Tensor, true: Tensor) -> Tensor:
    pictures = to_unit(generated).double(), to_unit(true).double()
    values = peak_signal_noise_ratio(*pictures, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return values.clamp(max=PSNR_CEILING).float().reshape(-1)


def frame_ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, " t"]:
    """SSIM of each frame (Wang et al. 2004), mean over full windows and colours; images in [-1, 1], at least 11 px."""
    if min(generated.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs frames of at least {SSIM_WINDOW} px, got {tuple(generated.shape[-2:])}")
    return _by_pieces(_ssim, generated, true)


def _ssim(generated: Tensor, true: Tensor) -> Tensor:
    """SSIM of some frames, strip by strip where they are large: a strip of full windows needs no more than its rows."""
    border, (height, width) = SSIM_WINDOW // 2, generated.shape[-2:]
    rows = max(1, STRIP // width - 2 * border)
    total = generated.new_zeros(len(generated))
    for top in range(0, height - 2 * border, rows):
        strip = slice(top, min(top + rows + 2 * border, height))
        whole: Any = structural_similarity_index_measure(
            to_unit(generated[:, :, strip]), to_unit(true[:, :, strip]), data_range=1.0, reduction="none",
            return_full_image=True,
        )  # fmt: skip
        # torchmetrics' own mean also counts windows that reach beyond the frame
        total += whole[1][..., border:-border, border:-border].sum(dim=(1, 2, 3))
    return total / (generated.shape[1] * (height - 2 * border) * (width - 2 * border))


def _by_pieces(measure: Callable[[Tensor, Tensor], Tensor], generated: Tensor, true: Tensor) -> Tensor:
    """A measure of each frame; on a CPU one at a time, which takes a third of the time and a tenth of the memory."""
    count = 1 if generated.device.type == "cpu" else 16
    return torch.cat([measure(x, y) for x, y in zip(generated.split(count), true.split(count), strict=True)])


def psnr(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """PSNR in dB, mean over frames; each frame counts at most `PSNR_CEILING`.

    Pooling the squared error over frames first would give another number.

    Args:
        generated: frames in [-1, 1].
        true: true frames in [-1, 1].

    Returns:
        Mean in dB; higher is better.

    Examples:
        >>> true = torch.zeros(2, 3, 16, 16)
        >>> round(psnr(true + 0.2, true).item(), 2)
        20.0
    """
    return frame_psnr(generated, true).mean()


def ssim(generated: Float[Tensor, "t c h w"], true: Float[Tensor, "t c h w"]) -> Float[Tensor, ""]:
    """SSIM (Wang et al. 2004), mean over frames.

    Args:
        generated: frames in [-1, 1], at least 11 px a side.
        true: true frames in [-1, 1].

    Returns:
        Mean in -1..1; 1 for equal frames.

    Raises:
        ValueError: the frames are smaller than the window.

    Examples:
        >>> true = torch.rand(2, 3, 16, 16) * 2 - 1
        >>> round(ssim(true, true).item(), 3)
        1.0
    """
    return frame_ssim(generated, true).mean()


def mean_of_frames(values: Float[Tensor, " t"], scored: Tensor | None = None) -> Float[Tensor, ""]:
    """Mean of a value over the frames in the mask `scored` [t] (all by default); NaN values are left out."""
    return torch.nanmean(values if scored is None else values[scored])
