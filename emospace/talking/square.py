"""The square of an image that the networks see: turned with the face, and filled softly where the image ends."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from datamodules.crop import cut
from face3d.grid import ALIGN_CORNERS, identity_grid


@dataclass(frozen=True)
class Square:
    """A square in pixels of an image whose upper left corner is (0, 0); `roll` in rad, clockwise as seen."""

    x: float
    y: float
    half: float
    roll: float = 0.0

    @property
    def matrix(self) -> Float[np.ndarray, "2 2"]:
        """Image pixels = `matrix` @ normalised coordinates of the square + (x, y)."""
        cos, sin = self.half * math.cos(self.roll), self.half * math.sin(self.roll)
        return np.array([[cos, -sin], [sin, cos]])

    def scaled(self, factor: float) -> "Square":
        """The same square of an image that is `factor` times as large."""
        return Square(self.x * factor, self.y * factor, self.half * factor, self.roll)


def cut_square(picture: UInt8[np.ndarray, "h w 3"], square: Square, size: int) -> Float[Tensor, "3 s s"]:
    """The square's content in [-1, 1] at `size` pixels; beyond the image, a soft continuation of what lies inside."""
    if square.roll == 0:
        pixels = cut(picture, (square.x, square.y, square.half), size)
        content = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1
    else:
        content = _turned(picture, square, size)
    inside = coverage(picture.shape[:2], square, size)
    return content if bool((inside == 1).all()) else content * inside + fill(content, inside) * (1 - inside)


def coverage(shape: tuple[int, int], square: Square, size: int) -> Float[Tensor, "1 s s"]:
    """Share of each cell of the square that lies in an image of `shape` (height, width)."""
    points = _points(square, 4 * size)
    height, width = shape
    inside = (points >= 0).all(-1) & (points[..., 0] <= width) & (points[..., 1] <= height)
    return F.avg_pool2d(inside.float()[None], 4)


def fill(content: Float[Tensor, "c s s"], inside: Float[Tensor, "1 s s"]) -> Float[Tensor, "c s s"]:
    """What lies `inside` (weights 0..1) continued over the whole square, the softer the farther from it.

    Push-pull (Gortler et al. 1996): weighted means of 2 x 2 cells down to one cell, then back up where weight lacks.
    """
    if content.shape[-1] == 1:
        return content
    weight = F.avg_pool2d(inside, 2, ceil_mode=True)
    mean = F.avg_pool2d(content * inside, 2, ceil_mode=True) / weight.clamp(min=1e-6)
    coarse = fill(mean, (weight * 4).clamp(max=1))
    smooth = F.interpolate(coarse[None], content.shape[-2:], mode="bilinear", align_corners=False)[0]
    return torch.lerp(smooth, content, inside)


def _points(square: Square, size: int) -> Float[Tensor, "s s 2"]:
    """Image coordinates of the middle of each of the square's cells."""
    grid = identity_grid(size, size)[0].double()
    return grid @ torch.from_numpy(square.matrix).T + torch.tensor([square.x, square.y], dtype=torch.float64)


def _turned(picture: np.ndarray, square: Square, size: int) -> Tensor:
    """Sampled at about one point a pixel of the image, then the mean of each cell."""
    reach = square.half * math.sqrt(2) + 2
    left, top = max(math.floor(square.x - reach), 0), max(math.floor(square.y - reach), 0)
    region = np.ascontiguousarray(picture[top : math.ceil(square.y + reach), left : math.ceil(square.x + reach)])
    image = torch.from_numpy(region).permute(2, 0, 1)[None].float() / 127.5 - 1
    cells = max(math.ceil(2 * square.half / size), 1)
    points = _points(square, size * cells) - torch.tensor([left, top], dtype=torch.float64)
    grid = (points / torch.tensor([region.shape[1], region.shape[0]]) * 2 - 1)[None].float()
    dense = F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=ALIGN_CORNERS)
    return F.avg_pool2d(dense, cells)[0].clamp(-1, 1)
