"""The reference without a network: the portrait moved by the face model alone."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from face3d.grid import warp
from face3d.renderer import Renderer

FRAMES_AT_ONCE = 16


@torch.no_grad()
def warp_source(
    renderer: Renderer,
    source: Float[Tensor, "3 r r"],
    source_coefficients: Float[Tensor, "257"],
    source_placement: Float[Tensor, "3"],
    coefficients: Float[Tensor, "t 257"],
    placement: Float[Tensor, "t 3"],
) -> Float[Tensor, "t 3 r r"]:
    """The portrait as each frame's coefficients move its face: what networks are measured against.

    Every pixel of the moved face takes what lies at its place in the portrait, also where the portrait hides that
    place; pixels off the moved face keep the portrait. Images in [-1, 1].
    """
    frames = []
    parts = zip(coefficients.split(FRAMES_AT_ONCE), placement.split(FRAMES_AT_ONCE), strict=True)
    for target, target_placement in parts:
        count = len(target)
        flow, _ = renderer.motion(
            source_coefficients.expand(count, -1), source_placement.expand(count, -1), target, target_placement
        )
        if flow.shape[-1] != source.shape[-1]:
            flow = F.interpolate(flow, source.shape[-2:], mode="bilinear", align_corners=False)
        frames.append(warp(source.expand(count, -1, -1, -1), flow.to(source)))
    return torch.cat(frames)
