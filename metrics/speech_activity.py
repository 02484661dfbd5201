"""Where a clip has voice: by loudness alone, so that it needs no network."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from conventions.rates import SAMPLES_PER_FRAME, VIDEO_FPS

FLOOR_DB = -55.0
"""dB of full scale under which a frame has no voice, whatever the clip's own level."""
BELOW_LOUD_DB = 30.0
"""A frame this much quieter than the clip's loud frames (95th percentile) has no voice."""
LEAST_SILENCE = math.ceil(0.3 * VIDEO_FPS)
"""Frames of a pause that counts as silence: THEval's 300 ms."""


def loudness(audio: Float[Tensor, " samples"], num_frames: int) -> Float[Tensor, " t"]:
    """RMS of the audio of each video frame; 0 beyond its end."""
    samples = torch.zeros(num_frames * SAMPLES_PER_FRAME, dtype=torch.float64)
    length = min(len(samples), len(audio))
    samples[:length] = audio[:length].double()
    return samples.unflatten(0, (-1, SAMPLES_PER_FRAME)).square().mean(dim=1).sqrt().float()


def voiced(audio: Float[Tensor, " samples"], num_frames: int) -> Bool[Tensor, " t"]:
    """Frames with voice; pauses shorter than `LEAST_SILENCE` count as voice."""
    decibels = 20 * loudness(audio, num_frames).clamp(min=1e-8).log10()
    if not num_frames:
        return torch.zeros(0, dtype=torch.bool)
    threshold = max(FLOOR_DB, float(decibels.quantile(0.95)) - BELOW_LOUD_DB)
    loud = decibels > threshold
    return ~_long_runs(~loud) & bool(loud.any())


def _long_runs(mask: Bool[Tensor, " t"]) -> Bool[Tensor, " t"]:
    """The runs of True of at least `LEAST_SILENCE` frames, and those that touch an end of the clip."""
    kept, start = torch.zeros_like(mask), 0
    for value, count in zip(*torch.unique_consecutive(mask, return_counts=True), strict=True):
        at_end = start == 0 or start + int(count) == len(mask)
        kept[start : start + int(count)] = bool(value) and (int(count) >= LEAST_SILENCE or at_end)
        start += int(count)
    return kept
