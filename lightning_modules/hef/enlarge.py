"""Beyond the training resolution: HEF's frames, drawn at R pixels, on an image of any size.

The image's own pixels are warped at full size by HEF's flow, and what HEF drew beyond the warp is added. With P the
image and L what R pixels hold of it, both brought to full size,

    frame(q) = base(q) + trust(q) (P - L)(q'),   q' = q + near(q) flow(q),   base = L(q') (1 - near) + made near

where `made` is HEF's frame, `near` is 1 about the head and 0 where the image keeps still, and `trust` is how far the
portrait's detail can be used: HEF's visibility, less where the flow stretches. The 3DMM guides the enlargement:

* flow: the 3DMM's motion, drawn at `FINE` pixels, plus HEF's deviation from it, so that lips and lids keep their edges;
* lids: what they show of the source is taken from it, for R pixels hold no lid;
* inside of the mouth: teeth that the source shows move with the upper lip and are not stretched; elsewhere stands what
  HEF drew itself, and in place of skin that HEF dragged there, the dark of a mouth in the colour of the lips.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from face3d.grid import ALIGN_CORNERS, identity_grid, warp
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.hef.flow import Flows
from lightning_modules.hef.generator import Animation
from lightning_modules.hef.layers import resize
from lightning_modules.hef.outline import (
    EYES,
    FACE,
    OUTER_LIPS,
    UPPER_INNER_LIP,
    distance,
    distance_near,
    opening,
    smooth_lips,
    soft,
)

FINE = 256
"""Least height of the maps that are shaped before they are brought to full size."""

STRETCH = 1.0
"""Stretch of the flow, in pixels a pixel, at which the portrait's detail counts exp(-1)."""

TRUSTED = 0.8
"""Visibility from which on the portrait's detail counts in full."""

REACH, FALL = 0.3, 0.4
"""Distance from the face's outline up to which the image moves, and over which the motion falls to none."""

EDGE = 0.25
"""Distance from the square's edge over which motion falls to none."""

LIDS, LIDS_FALL = 0.03, 0.05
"""Distance from the outline of the source's eyes that counts as lids, and its soft edge."""

GAPE = 0.02
"""Opening of the inner lips, beyond the source's, at which the inside of the mouth is no longer the source's."""

MARGIN = 0.05
"""Distance from the lips up to which the inside of the mouth is looked at."""

CAVITY_DEPTH = 0.06
"""Distance from the lips at which the inside of a mouth is darkest."""
CAVITY_LIGHT = (0.45, 0.13)
"""Light in the mouth as a share of that on the lips: at the lips, and where it is darkest."""
CAVITY_TINT = (1.0, 0.55, 0.5)
"""Red, green and blue of the inside of a mouth as shares of the lips'."""

CORRECTED = 32
"""Height of the map of the landmarks' corrections."""
LANDMARK_SPREAD = 0.1
"""Distance over which a landmark's correction fades."""


@dataclass(frozen=True)
class Place:
    """Where the square that HEF sees lies in an image: pixels = `matrix` @ normalised coordinates + `centre`."""

    matrix: Float[Tensor, "2 2"]
    centre: Float[Tensor, "2"]


@dataclass(frozen=True)
class Source:
    """The portrait: the square at R pixels in [-1, 1], its 3DMM, and how far its landmarks lie from the model's."""

    image: Float[Tensor, "3 r r"]
    coefficients: Float[Tensor, "1 257"]
    placement: Float[Tensor, "1 3"]
    correction: Float[Tensor, "1 68 2"]


@dataclass(frozen=True)
class Maps:
    """What is brought to full size: base in [-1, 1], trust in [0, 1], flow in normalised units."""

    base: Float[Tensor, "b 3 f f"]
    trust: Float[Tensor, "b 1 f f"]
    flow: Float[Tensor, "b 2 f f"]


class Enlarger:
    """Draws HEF's frames of one portrait on its image.

    Where the image is the square itself at R pixels, the frames are HEF's own.
    """

    def __init__(self, model: MorphableModel, source: Source, picture: UInt8[Tensor, "h w c"], place: Place) -> None:
        self.picture, self.resolution = picture, source.image.shape[-1]
        self.fine = max(FINE, self.resolution)
        self.source, self.renderer = source, Renderer(model, self.fine)
        self.box, self._grid, self._identity, self._linear = _geometry(picture, place)
        self.is_own_size = self._is_own_size(place)
        left, top, right, bottom = self.box
        region = picture[top:bottom, left:right].permute(2, 0, 1)[None].float() / 127.5 - 1
        self._low = up(source.image[None], self.fine)
        detail = region[:, :3] - sample(self._low, self._grid)
        self._layers = twofold(torch.cat([detail, region[:, 3:]], dim=1))
        self._grey = bool((picture[..., :3] == picture[..., :1]).all())
        self._inside = (self._grid.abs() <= 1).all(-1, keepdim=True).float()
        self._shapes()

    def _is_own_size(self, place: Place) -> bool:
        half = self.resolution / 2
        upright = torch.allclose(place.matrix.cpu().double(), half * torch.eye(2, dtype=torch.float64))
        centred = torch.allclose(place.centre.cpu().double(), torch.full((2,), half, dtype=torch.float64))
        return upright and centred and self.picture.shape == (self.resolution, self.resolution, 3)

    def _shapes(self) -> None:
        """What of the source's own shape is needed for each frame."""
        source = self.source
        self._keypoints = self.renderer.keypoints(source.coefficients, source.placement) + source.correction
        eyes = torch.cat([distance(self._keypoints[:, list(eye)], self.fine) for eye in EYES])
        self._lids = soft(eyes.amin(0, keepdim=True) - LIDS, LIDS_FALL)
        width = self._edge
        spread = min(width, 0.5 * float(opening(self._keypoints)))  # at rest the whole mouth is the source's
        inner = distance(smooth_lips(self._keypoints), self.fine)
        self._mouth = soft(inner - spread, width)
        lips = soft(distance(self._keypoints[:, list(OUTER_LIPS)], self.fine), width) * soft(-inner, width)
        self._lip_colour = (self._low * lips).sum((2, 3)) / lips.sum((2, 3)).clamp(min=1)

    @property
    def _edge(self) -> float:
        """Width of a soft edge: two pixels of the fine maps."""
        return 4 / self.fine

    def frames(
        self, made: Animation, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]
    ) -> Iterator[UInt8[Tensor, "h w c"]]:
        """The image with each driven face in it."""
        if self.is_own_size:
            yield from to_bytes(made.image)
            return
        maps = self.maps(made, coefficients, placement)
        left, top, right, bottom = self.box
        joined = torch.cat([maps.base, maps.trust, maps.flow], dim=1)
        for fine in joined.split(1):
            frame = self.picture.clone()
            frame[top:bottom, left:right] = to_bytes(self._full_size(fine))[0]
            yield frame

    @torch.no_grad()
    def _full_size(self, fine: Float[Tensor, "1 6 f f"]) -> Float[Tensor, "1 c h w"]:
        base, trust, flow = sample(fine, self._grid).split([3, 1, 2], dim=1)
        place = self._identity + (flow.permute(0, 2, 3, 1) * self._inside) @ self._linear.T
        layers = sample_twofold(self._layers, place)
        colour = base + trust * layers[:, :3]
        if self._grey:
            colour = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return torch.cat([colour, layers[:, 3:]], dim=1)

    @torch.no_grad()
    def maps(self, made: Animation, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]) -> Maps:
        """Base, trust and flow at `fine` pixels."""
        count = len(coefficients)
        keypoints = self.renderer.keypoints(coefficients, placement) + self.source.correction
        near = self._near(keypoints)
        flow, seen = self._guided(made.flows.flows[-1], keypoints, coefficients, placement)
        inside = distance_near(smooth_lips(keypoints), self.fine, MARGIN)
        wider = ((opening(keypoints) - opening(self._keypoints)) / GAPE).clamp(0, 1)
        mouth = soft(inside - self._edge / 2, self._edge) * wider[:, None, None, None]
        upper = list(UPPER_INNER_LIP)
        with_lip = (self._keypoints[:, upper] - keypoints[:, upper]).mean(1)[:, :, None, None]
        trust = (stretch(flow) * (1 - mouth) / STRETCH).square().neg().exp()
        visible = (up(made.flows.visibilities[-1], self.fine) / TRUSTED).clamp(0, 1)
        trust = trust * torch.lerp(torch.ones_like(near), visible, near)
        flow = torch.lerp(flow, with_lip.expand_as(flow), mouth) * near
        both = torch.cat([self._low, self._mouth], dim=1).expand(count, -1, -1, -1)
        low, teeth = warp(both, flow).split([3, 1], dim=1)
        lids = self._lids * seen
        drawn = torch.lerp(up(made.image, self.fine), low, lids)
        drawn = torch.lerp(drawn, torch.lerp(self._cavity(made, inside), low, teeth), mouth)
        trust = torch.lerp(torch.lerp(trust, torch.ones_like(trust), lids), teeth, mouth)
        return Maps(torch.lerp(low, drawn, near), trust, flow)

    def _near(self, keypoints: Float[Tensor, "b 68 2"]) -> Float[Tensor, "b 1 f f"]:
        """1 on and about the head, where it was and where it is; 0 from some way off, and at the square's edge."""
        size = self.resolution
        outlines = [distance(points[:, list(FACE)], size) for points in (self._keypoints, keypoints)]
        away = torch.minimum(*torch.broadcast_tensors(*outlines))
        x = identity_grid(size, size, keypoints.device).permute(0, 3, 1, 2)
        border = ((1 - x.abs()) / EDGE).clamp(0, 1).prod(1, keepdim=True)
        near = ((REACH + FALL - away) / FALL).clamp(0, 1) * border
        return up(near * near * (3 - 2 * near), self.fine).clamp(0, 1)

    def _guided(
        self, flow: Float[Tensor, "b 2 r r"], keypoints: Tensor, coefficients: Tensor, placement: Tensor
    ) -> tuple[Float[Tensor, "b 2 f f"], Float[Tensor, "b 1 f f"]]:
        """HEF's flow with the edges of the 3DMM's motion, and where this is seen, both moved onto the landmarks."""
        count, source = len(coefficients), self.source
        portrait = source.coefficients.expand(count, -1), source.placement.expand(count, -1)
        motion, seen = self.renderer.motion(*portrait, coefficients, placement)
        moved = warp(torch.cat([motion * seen, seen], dim=1), -up(self._correction(keypoints), self.fine))
        seen = moved[:, 2:]
        motion = moved[:, :2] / seen.clamp(min=1e-4)
        share = resize(seen, self.resolution)
        coarse = resize(motion * seen, self.resolution) / share.clamp(min=1e-4)
        deviation = up(torch.where(share > 0.3, flow - coarse, 0.0), self.fine)
        return torch.where(seen > 0.5, motion + deviation, up(flow, self.fine)), seen

    def _correction(self, keypoints: Float[Tensor, "b 68 2"]) -> Float[Tensor, "b 2 c c"]:
        """The landmarks' corrections, spread over the square."""
        size = min(CORRECTED, self.resolution)
        pixel = identity_grid(size, size, keypoints.device).reshape(1, -1, 1, 2)
        weight = (pixel - keypoints[:, None]).square().sum(-1).div(-2 * LANDMARK_SPREAD**2).exp()
        field = weight @ self.source.correction / (weight.sum(-1, keepdim=True) + 0.3)
        return field.transpose(1, 2).reshape(-1, 2, size, size)

    def _cavity(self, made: Animation, inside: Float[Tensor, "b 1 f f"]) -> Float[Tensor, "b 3 f f"]:
        """The inside of a mouth: what HEF drew itself, and the dark in place of skin that it dragged there."""
        depth = (-inside / CAVITY_DEPTH).clamp(0, 1)
        light = CAVITY_LIGHT[0] + (CAVITY_LIGHT[1] - CAVITY_LIGHT[0]) * depth
        tint = (self._lip_colour + 1) * self._lip_colour.new_tensor(CAVITY_TINT)
        dark = tint[:, :, None, None] * light - 1
        return torch.lerp(up(made.image, self.fine), dark, up(warped_share(made.flows, self.resolution), self.fine))


def _geometry(
    picture: UInt8[Tensor, "h w c"], place: Place
) -> tuple[tuple[int, int, int, int], Tensor, Tensor, Tensor]:
    """The box of the image that the square touches, and for its pixels: their place in the square, their own
    normalised place in the box, and the matrix that turns offsets in the square into offsets in the box.
    """
    height, width = picture.shape[:2]
    matrix, centre = place.matrix.double().cpu(), place.centre.double().cpu()
    reach = matrix.abs().sum(1)
    (left, top), (right, bottom) = (centre - reach).floor().int().tolist(), (centre + reach).ceil().int().tolist()
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    size = torch.tensor([right - left, bottom - top], dtype=torch.float64)
    identity = identity_grid(bottom - top, right - left)
    pixels = (identity.double() + 1) / 2 * size + torch.tensor([left, top])
    grid = (pixels - centre) @ torch.linalg.inv(matrix).T
    linear = matrix * 2 / size[:, None]
    grid, identity, linear = (x.float().to(picture.device) for x in (grid, identity, linear))
    return (left, top, right, bottom), grid, identity, linear


def sample(image: Float[Tensor, "b c h w"], grid: Float[Tensor, "_ y x 2"]) -> Float[Tensor, "b c y x"]:
    """The image at normalised places; its border repeats."""
    grid = grid.expand(len(image), -1, -1, -1)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=ALIGN_CORNERS)


HALF_WAY = tuple(
    math.sin(math.pi * x) / (math.pi * x) * math.sin(math.pi * x / 5) / (math.pi * x / 5)
    for x in (i - 4.5 for i in range(10))
)
"""Lanczos-5 weights of the ten samples about the middle between two."""


def twofold(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """The image with samples half-way between its own, which stay: what `sample_twofold` takes.

    One interpolation of an image at its own size, bilinear or bicubic, costs most of its finest structure.
    """
    weights = image.new_tensor(HALF_WAY) / sum(HALF_WAY)
    for dim in (-1, -2):
        line = image.transpose(dim, -1)
        padded = F.pad(line, (4, 5, 0, 0), "replicate")
        between = sum(padded[..., i : i + line.shape[-1]] * weights[i] for i in range(len(weights)))
        assert isinstance(between, Tensor)
        image = torch.stack([line, between], dim=-1).flatten(-2).transpose(dim, -1)
    return image


def sample_twofold(image: Float[Tensor, "b c h2 w2"], grid: Float[Tensor, "_ y x 2"]) -> Float[Tensor, "b c y x"]:
    """`twofold` of an image at places that are normalised for the image itself; bicubic."""
    height, width = image.shape[-2:]
    grid = (grid - grid.new_tensor([1 / width, 1 / height])).expand(len(image), -1, -1, -1)
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=ALIGN_CORNERS)


def up(x: Float[Tensor, "b c r r"], size: int) -> Float[Tensor, "b c size size"]:
    """Bicubic, to a larger square; unchanged at its own size."""
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=ALIGN_CORNERS)


def stretch(flow: Float[Tensor, "b 2 f f"]) -> Float[Tensor, "b 1 f f"]:
    """How far neighbouring pixels are drawn from each other by the flow, in pixels a pixel; mean over 5 x 5."""
    pixels = F.pad(flow * (flow.shape[-1] / 2), (1, 1, 1, 1), "replicate")
    across = (pixels[..., 1:-1, 2:] - pixels[..., 1:-1, :-2]) / 2
    down = (pixels[..., 2:, 1:-1] - pixels[..., :-2, 1:-1]) / 2
    length = sum(x.square().sum(1, keepdim=True).sqrt() for x in (across, down))
    assert isinstance(length, Tensor)
    return F.avg_pool2d(F.pad(length, (2, 2, 2, 2), "replicate"), 5, 1)


def warped_share(flows: Flows, size: int) -> Float[Tensor, "b 1 size size"]:
    """How much of each pixel of HEF's frame is warped source, of any scale; the rest HEF drew."""
    drawn = torch.ones_like(resize(flows.visibilities[0], size))
    for visible in flows.visibilities:
        drawn = drawn * (1 - resize(visible, size))
    return 1 - drawn


def to_bytes(image: Float[Tensor, "b c h w"]) -> UInt8[Tensor, "b h w c"]:
    """Images in [-1, 1] as bytes."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
