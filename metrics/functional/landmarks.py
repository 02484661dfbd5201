"""LMD: how far the generated face's landmarks lie from the true ones, in pixels of a stated crop."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Region = Literal["mouth", "face"]

REGIONS: dict[str, slice] = {"mouth": slice(48, 68), "face": slice(0, 68)}
"""iBUG numbering: 48-59 outer lips, 60-67 inner lips."""


def frame_landmark_distance(
    generated: Float[Tensor, "t 68 2"], true: Float[Tensor, "t 68 2"], size_px: int, region: Region = "mouth"
) -> Float[Tensor, " t"]:
    """LMD of each frame in px of a crop of `size_px`; NaN where a face was not found (its landmarks are NaN).

    Landmarks are (x, y) in [-1, 1] across the crop. Each set is centred on its own mean first (Chen et al. 2018),
    so that a face in another place costs nothing.
    """
    sets = (generated[:, REGIONS[region]], true[:, REGIONS[region]])
    centred = [points - points.mean(dim=1, keepdim=True) for points in sets]
    return (centred[0] - centred[1]).norm(dim=-1).mean(dim=-1) * size_px / 2


def landmark_distance(
    generated: Float[Tensor, "t 68 2"], true: Float[Tensor, "t 68 2"], size_px: int, region: Region = "mouth"
) -> Float[Tensor, ""]:
    """LMD: mean distance of landmarks, each set centred on its own mean first (Chen et al. 2018).

    Frames without a face (NaN) do not count.

    Args:
        generated: landmarks (x, y) in [-1, 1] across the crop; NaN where no face was found.
        true: landmarks of the true frames, likewise.
        size_px: side of the crop in pixels: the unit of the result.
        region: "mouth" (landmarks 48 to 67) or "face" (all).

    Returns:
        Mean over frames in pixels, lower is better; NaN where no frame has a face.

    Examples:
        >>> points = torch.rand(2, 68, 2)
        >>> round(landmark_distance(points + 0.5, points, size_px=256).item(), 3)
        0.0
    """
    return torch.nanmean(frame_landmark_distance(generated, true, size_px, region))
