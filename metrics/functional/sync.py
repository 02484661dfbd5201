"""Sync: SyncNet's distance and confidence (Chung and Zisserman 2016) from features of audio and video."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

MAX_SHIFT = 15
"""Frames by which the audio is moved against the image, each way."""

BLOCK = 32
"""Frames handled by one matrix product; wider blocks waste more of each product outside the band of shifts."""

CANCELLATION = 1e-3
"""Squared distances below this share of the squared lengths lose their digits and are computed again by subtraction."""


class SyncScores(NamedTuple):
    """Scalars of one clip: confidence (higher is better), distance (lower is better), offset in frames."""

    confidence: Float[Tensor, ""]
    distance: Float[Tensor, ""]
    offset: Float[Tensor, ""]


def shift_distances(
    audio_features: Float[Tensor, "n d"], video_features: Float[Tensor, "n d"], max_shift: int = MAX_SHIFT
) -> Float[Tensor, " shifts"]:
    """Mean over frames of the Euclidean distance between image i and audio i + s, s = -max_shift..max_shift.

    Beyond the clip's ends the audio counts as a zero vector, as in the official script. No loop over frames or
    shifts: |v - a|^2 = |v|^2 + |a|^2 - 2 v.a with v.a taken from the diagonal band of blocked matrix products.
    """
    num_frames, num_shifts = len(video_features), 2 * max_shift + 1
    tail = -num_frames % BLOCK
    video = F.pad(video_features, (0, 0, 0, tail))
    audio = F.pad(audio_features, (0, 0, max_shift, max_shift + tail))
    products = torch.bmm(video.unflatten(0, (-1, BLOCK)), audio.unfold(0, BLOCK + num_shifts - 1, BLOCK))
    dots = diagonals(products).flatten(0, 1)[:num_frames]
    lengths = squared_length(video_features)[:, None] + squared_length(audio).unfold(0, num_shifts, 1)[:num_frames]
    squared = subtract_where_close(lengths - 2 * dots, lengths, video, audio)
    return squared.sqrt().mean(dim=0)


def squared_length(features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared length of each vector."""
    return torch.linalg.vector_norm(features, dim=1).square()


def diagonals(products: Float[Tensor, "blocks frames wide"]) -> Float[Tensor, "blocks frames shifts"]:
    """Entry (i, i + s) of each block, s = 0..wide - frames: a strided view."""
    blocks, frames, wide = products.shape
    return products.contiguous().as_strided((blocks, frames, wide - frames + 1), (frames * wide, wide + 1, 1))


def subtract_where_close(
    squared: Float[Tensor, "n shifts"],
    lengths: Float[Tensor, "n shifts"],
    video: Float[Tensor, "frames d"],
    audio: Float[Tensor, "padded d"],
) -> Float[Tensor, "n shifts"]:
    """Squared distances with those of nearly equal vectors computed directly; such pairs are rare."""
    frame, shift = torch.nonzero(squared <= CANCELLATION * lengths, as_tuple=True)
    squared[frame, shift] = (video[frame] - audio[frame + shift]).square().sum(dim=1)
    return squared


def sync_scores(
    audio_features: Float[Tensor, "n d"], video_features: Float[Tensor, "n d"], max_shift: int = MAX_SHIFT
) -> SyncScores:
    """SyncNet's confidence, distance and offset of one clip.

    Of the mean distances over all shifts of the audio: confidence = median - minimum, distance = minimum, offset =
    `max_shift` - argmin. +1 means that the audio comes one frame early.

    Args:
        audio_features: a feature of each video frame, from 20 steps of 10 ms of audio.
        video_features: a feature of each video frame, from 5 frames.
        max_shift: most frames by which the audio is shifted, each way.

    Returns:
        The three scores; all NaN for a clip of at most `max_shift` features, where a shift leaves padding only.

    Examples:
        >>> features = torch.eye(40)
        >>> sync_scores(features, features).offset
        tensor(0.)
    """
    if len(video_features) <= max_shift:
        nan = torch.tensor(float("nan"))
        return SyncScores(nan, nan, nan)
    distances = shift_distances(audio_features, video_features, max_shift)
    lowest, index = distances.min(dim=0)
    return SyncScores(distances.median() - lowest, lowest, (max_shift - index).float())
