"""The one convention of image coordinates: x right, y down, both in [-1, 1] across the image's outer edges."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

ALIGN_CORNERS = False
"""-1 and 1 are the image's outer edges, not the centres of its outer pixels; used by every resampling here."""


def identity_grid(height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "1 h w 2"]:
    """Normalised (x, y) of each pixel centre."""
    ys = (torch.arange(height, device=device) + 0.5) * 2 / height - 1
    xs = (torch.arange(width, device=device) + 0.5) * 2 / width - 1
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], dim=-1)[None]


def warp(image: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 ho wo"]) -> Float[Tensor, "b c ho wo"]:
    """Sample an image at its own pixel grid plus a flow; outside the image the border repeats.

    Args:
        image: what is sampled.
        flow: (x, y) offset of each output pixel in normalised units: 2 / width moves by one pixel.

    Returns:
        The warped image, in the flow's size.

    Examples:
        >>> image = torch.arange(4.0).reshape(1, 1, 1, 4)
        >>> flow = torch.tensor([2 / 4, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 4)
        >>> warp(image, flow).flatten()
        tensor([1., 2., 3., 3.])
    """
    grid = identity_grid(flow.shape[2], flow.shape[3], flow.device) + flow.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid.to(image.dtype), padding_mode="border", align_corners=ALIGN_CORNERS)
