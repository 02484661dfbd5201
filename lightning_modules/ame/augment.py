"""Augmentation of AME's training batches: kornia for images, SpecAugment for mel; draws from torch's global state."""

import kornia.augmentation as K
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from conventions.rates import MEL_BINS
from lightning_modules.ame.config import AugmentConfig
from lightning_modules.ame.encoders import SILENCE_DB


def image_augmentation(config: AugmentConfig) -> nn.Module:
    """Random flip, small rotation, shift and zoom, and colour, on images in [0, 1]; one draw for each image."""
    move = K.RandomAffine(
        config.degrees, (config.shift, config.shift), (1 - config.zoom, 1 + config.zoom), padding_mode="border"
    )
    colour = K.ColorJiggle(config.colour, config.colour, config.colour, 0.0)
    return K.AugmentationSequential(K.RandomHorizontalFlip(p=config.flip), move, colour, data_keys=["input"])


def _stretch(length: int, longest: Float[Tensor, "b 1"], device: torch.device) -> Bool[Tensor, "b n"]:
    """One random stretch of 0..n places, at most `longest` long, for each row."""
    width = torch.rand(longest.shape, device=device) * longest
    start = torch.rand(longest.shape, device=device) * (length - width)
    places = torch.arange(length, device=device)
    return (places >= start) & (places < start + width)


def warp_frequencies(mel: Float[Tensor, "b t 80"], factor: Float[Tensor, " b"]) -> Float[Tensor, "b t 80"]:
    """Mel whose bin k holds what was at bin `factor` x k, as of a vocal tract of another length.

    A linear warp of the bins, after the perturbation of Jaitly & Hinton 2013 (VTLP); the last bin fills the gap.
    """
    places = (torch.arange(MEL_BINS, device=mel.device) * factor[:, None]).clamp(max=MEL_BINS - 1)
    below = places.floor().long().clamp(max=MEL_BINS - 2)
    lower, upper = (mel.gather(2, bins[:, None].expand_as(mel)) for bins in (below, below + 1))
    return torch.lerp(lower, upper, (places - below)[:, None])


def augment_mel(
    mel: Float[Tensor, "b t 80"], mask: Bool[Tensor, "b t"], config: AugmentConfig
) -> Float[Tensor, "b t 80"]:
    """Log-mel in dB with warped frequencies, a random gain, and stretches of time and bands of frequency silenced."""
    batch, steps, _ = mel.shape
    if config.warp:
        mel = warp_frequencies(mel, 1 + (2 * torch.rand(batch, device=mel.device) - 1) * config.warp)
    mel = mel + (2 * torch.rand(batch, 1, 1, device=mel.device) - 1) * config.gain_db
    for _ in range(config.time_masks):
        longest = mask.sum(1, keepdim=True) * config.time_share
        mel = mel.masked_fill(_stretch(steps, longest, mel.device)[:, :, None], SILENCE_DB)
    for _ in range(config.frequency_masks):
        longest = torch.full((batch, 1), float(config.frequency_bins), device=mel.device)
        mel = mel.masked_fill(_stretch(MEL_BINS, longest, mel.device)[:, None, :], SILENCE_DB)
    return mel
