"""Photograph-like changes of HEF's training pairs that leave geometry, coefficients and motion true.

What a camera, a painter or a codec does to an image, it does to source and target alike: HEF learns to keep it. Draws
from torch's global state, which every training batch seeds anew.
"""

import dataclasses

import kornia
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from datamodules.batches import HEFBatch
from face3d.grid import identity_grid, warp
from lightning_modules.hef.config import BASE_SIZE, AugmentConfig
from lightning_modules.hef.generator import Task
from lightning_modules.hef.layers import resize

APART = 0.12
"""Distance from the face's mask beyond which a background is replaced, as a share of the image."""
COARSE, FINE = 3, 16
"""Cells across the random images of backgrounds and patches."""
COVERED = 0.75
"""Threshold of the random map that becomes patches, in its standard deviations."""

Pair = Float[Tensor, "b n 3 r r"]
"""Source and target (n = 2), in [0, 1]."""


def displaced(frames: HEFBatch, config: AugmentConfig) -> tuple[HEFBatch, Bool[Tensor, " b"] | None]:
    """Targets moved and zoomed with their placement, in the pairs that get another background; and which these are.

    None, and no random number drawn, where nothing is augmented.
    """
    if config.share == 0:
        return frames, None
    like, shift = frames.target[:, None], config.displacement
    chosen = _chance(like, config.share * config.background).view(-1)
    zoom = torch.where(chosen[:, None], (_uniform(like, -shift, shift)).exp().view(-1, 1), 1.0)
    offset = torch.where(chosen[:, None], _uniform(like, -shift, shift, 2).view(-1, 2), 0.0)
    grid = identity_grid(*like.shape[-2:], device=like.device).permute(0, 3, 1, 2)
    flow = (zoom - 1)[..., None, None] * grid + offset[..., None, None]
    target = torch.where(chosen[:, None, None, None], warp(frames.target, flow), frames.target)
    place = torch.cat([frames.target_placement[:, :1], frames.target_placement[:, 1:] - offset], 1) / zoom
    return dataclasses.replace(frames, target=target, target_placement=place), chosen


def augmented(task: Task, chosen: Bool[Tensor, " b"], config: AugmentConfig) -> Task:
    """The task with other backgrounds in the `chosen` pairs, and a random share of all pairs changed."""
    frames = task.frames
    pair = (torch.stack([frames.source, frames.target], 1) + 1) / 2
    pair = torch.where(chosen.view(-1, 1, 1, 1, 1), _background(pair, task), pair)
    changed = _degraded(_coloured(_patches(pair, task, config), config), config)
    pair = torch.where(_chance(pair, config.share), changed, pair) * 2 - 1
    return dataclasses.replace(task, frames=dataclasses.replace(frames, source=pair[:, 0], target=pair[:, 1]))


def _uniform(like: Pair, low: float, high: float, channels: int = 1) -> Float[Tensor, "b 1 c 1 1"]:
    """One number for each pair (and channel)."""
    return torch.rand(len(like), 1, channels, 1, 1, device=like.device) * (high - low) + low


def _chance(like: Pair, probability: float) -> Tensor:
    return _uniform(like, 0.0, 1.0) < probability


def _random_picture(like: Pair, channels: int, cells: int) -> Float[Tensor, "b c r r"]:
    """Smooth normal noise."""
    noise = torch.randn(len(like), channels, cells, cells, device=like.device)
    return F.interpolate(noise, like.shape[-2:], mode="bicubic", align_corners=False)


def _random_colours(like: Pair) -> Float[Tensor, "b 3 r r"]:
    """Light and dark with some colour."""
    light, colour, fine = (_random_picture(like, *size) for size in ((1, COARSE), (3, COARSE), (3, FINE)))
    return (0.45 + 0.25 * light + 0.12 * colour + 0.08 * fine).clamp(0, 1)


def _coloured(pair: Pair, config: AugmentConfig) -> Pair:
    """Other exposure, white balance, gamma and saturation."""
    gain, gamma, saturation = (_uniform(pair, -config.colour, config.colour, n).exp() for n in (3, 1, 1))
    pair = (pair.clamp(1e-4, 1) ** gamma) * gain
    grey = pair.mean(2, keepdim=True)
    saturation = torch.where(_chance(pair, config.grey), 0.0, saturation)
    return (grey + (pair - grey) * saturation).clamp(0, 1)


def _background(pair: Pair, task: Task) -> Pair:
    """Another, still background behind head and shoulders."""
    size = max(pair.shape[-1] // 4, BASE_SIZE)
    reach = 2 * int(APART * size) + 1
    masks = torch.stack([task.source[:, 3:], task.target[:, 3:]], 1).flatten(0, 1)
    near = F.max_pool2d(resize(masks, size).ceil(), reach, 1, reach // 2)
    below = near.cummax(dim=2).values  # shoulders stay
    soft = resize(kornia.filters.box_blur(below, (reach, reach)), pair.shape[-1]).unflatten(0, pair.shape[:2])
    return torch.lerp(_random_colours(pair)[:, None].expand_as(pair), pair, soft)


def _patches(pair: Pair, task: Task, config: AugmentConfig) -> Pair:
    """Spots of random shape and colour that the 3DMM's motion carries from source to target."""
    shape = ((_random_picture(pair, 1, FINE // 2) - COVERED) * 4).clamp(0, 1) * _uniform(pair, 0.3, 1.0)[:, 0]
    layer = torch.cat([shape, _random_colours(pair)], 1)
    assert task.motion is not None, "augmented tasks have it"
    layers = torch.stack([layer, warp(layer, task.motion[:, :2] * task.motion[:, 2:])], 1)
    shape, colour = layers.split([1, 3], dim=2)
    return torch.where(_chance(pair, config.patches), torch.lerp(pair, colour, shape.expand_as(pair)), pair)


def _degraded(pair: Pair, config: AugmentConfig) -> Pair:
    """Blur, grain and compression, each in half of the pairs."""
    if config.blur:
        sigma = _uniform(pair, 0.1, max(config.blur, 0.1)).view(-1, 1).repeat_interleave(2, 0).expand(-1, 2)
        kernel = 2 * int(3 * config.blur) + 1
        blurred = kornia.filters.gaussian_blur2d(pair.flatten(0, 1), (kernel, kernel), sigma).view_as(pair)
        pair = torch.where(_chance(pair, 0.5), blurred, pair)
    if config.grain:
        noise = torch.randn_like(pair) * _uniform(pair, 0.0, config.grain / 2)
        pair = torch.where(_chance(pair, 0.5), (pair + noise).clamp(0, 1), pair)
    if config.jpeg:
        quality = _uniform(pair, config.jpeg, 100.0).view(-1).repeat_interleave(2)
        packed = kornia.enhance.jpeg_codec_differentiable(pair.flatten(0, 1), quality).view_as(pair)
        pair = torch.where(_chance(pair, 0.5), packed, pair)
    return pair
