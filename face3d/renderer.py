"""From 257 coefficients to an image, to landmarks, and to the motion between two of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from face3d import camera
from face3d.coefficients import split
from face3d.grid import ALIGN_CORNERS, identity_grid, warp
from face3d.morphable import MorphableModel, keypoint_model
from face3d.rasterize import Fragments, interpolate, rasterize
from face3d.shading import shade, vertex_normals

BACKGROUND = -1.0

_Method = TypeVar("_Method", bound=Callable[..., Any])

DEPTH_TOLERANCE = 0.1
"""A point this much (decimetres) behind what the other image shows at its place still counts as visible there."""


@dataclass(frozen=True)
class Rendering:
    """A rendered face: image in [-1, 1] (background -1), mask in {0, 1}, 68 keypoints in normalised crop coordinates.

    `vertices` are the face in model space (decimetres), before pose.
    """

    image: Float[Tensor, "b 3 s s"]
    mask: Float[Tensor, "b 1 s s"]
    keypoints: Float[Tensor, "b 68 2"]
    vertices: Float[Tensor, "b v 3"]


def _in_full_precision(method: _Method) -> _Method:
    """Geometry does not survive half precision: step out of autocast and widen what arrives narrow."""

    @functools.wraps(method)
    def call(self: "Renderer", *tensors: Tensor) -> Any:
        with torch.autocast(tensors[0].device.type, enabled=False):
            return method(self, *(t if t.dtype == torch.float64 else t.float() for t in tensors))

    return cast(_Method, call)


class Renderer(nn.Module):
    """Draws a morphable model with the camera and light of Deep3DFaceRecon.

    It has no parameters, and its state dict is empty.

    Args:
        model: the face.
        size: side of the images in pixels.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        super().__init__()
        self.size = size
        self._model = model

    @property
    def model(self) -> MorphableModel:
        """The face model, on the device of the last call."""
        return self._model

    @_in_full_precision
    def forward(self, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]) -> Rendering:
        """Draw faces.

        Args:
            coefficients: 3DMM vectors.
            placement: (scale, x, y) of the camera frame inside the crop, in normalised units.

        Returns:
            Images, masks, landmarks and vertices.
        """
        model, parts = self._on(coefficients.device), split(coefficients)
        vertices = model.shape(parts.identity, parts.expression)
        points = camera.to_camera(vertices, parts.angle, parts.translation)
        xy = camera.to_image(points, placement)
        normals = vertex_normals(vertices, model.triangles) @ camera.rotation(parts.angle)
        colour = shade(model.texture(parts.texture), normals, parts.gamma)
        fragments = rasterize(xy, points[..., 2], model.triangles, self.size)
        drawn = interpolate(fragments, colour, model.triangles)
        image = torch.where(fragments.triangle[:, None] >= 0, drawn.clamp(0, 1) * 2 - 1, BACKGROUND)
        return Rendering(image, fragments.mask, xy[:, model.keypoints], vertices)

    @_in_full_precision
    def keypoints(
        self, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]
    ) -> Float[Tensor, "b 68 2"]:
        """The 68 landmarks of faces, without drawing them.

        Args:
            coefficients: 3DMM vectors.
            placement: (scale, x, y) of the camera frame inside the crop, in normalised units.

        Returns:
            (x, y) in [-1, 1] across the crop.
        """
        model, parts = self._on(coefficients.device), split(coefficients)
        points = keypoint_model(model).shape(parts.identity, parts.expression)
        return camera.project(points, parts.angle, parts.translation, placement)[0]

    @_in_full_precision
    def motion(
        self,
        source_coefficients: Float[Tensor, "b 257"],
        source_placement: Float[Tensor, "b 3"],
        target_coefficients: Float[Tensor, "b 257"],
        target_placement: Float[Tensor, "b 3"],
    ) -> tuple[Float[Tensor, "b 2 s s"], Float[Tensor, "b 1 s s"]]:
        """Flow from a source face to a target face: `grid.warp(source, flow)` gives the target.

        Args:
            source_coefficients: 3DMM vectors of the source.
            source_placement: (scale, x, y) of the source's camera frame inside the crop, in normalised units.
            target_coefficients: 3DMM vectors of the target.
            target_placement: likewise of the target.

        Returns:
            Offset of each target pixel to its place in the source, in normalised units (0 off the face), and a mask
                that is 1 where both images show the place.
        """
        source, source_points = self._drawn(source_coefficients, source_placement)
        target, _ = self._drawn(target_coefficients, target_placement)
        triangles = self._model.triangles
        place = interpolate(target, source_points, triangles)
        seen = target.mask
        depth = torch.where(seen > 0, place[:, 2:], 1.0)
        grid = identity_grid(self.size, self.size, place.device).to(place.dtype).permute(0, 3, 1, 2)
        flow = torch.where(seen > 0, place[:, :2] / depth - grid, 0.0)
        in_source = _visible_at(source, source_points, triangles, grid + flow, depth)
        return flow, seen * in_source

    def _drawn(self, coefficients: Tensor, placement: Tensor) -> tuple[Fragments, Tensor]:
        """Fragments, and per vertex (x * depth, y * depth, depth): linear in space, so exact under interpolation."""
        model, parts = self._on(coefficients.device), split(coefficients)
        vertices = model.shape(parts.identity, parts.expression)
        xy, depth = camera.project(vertices, parts.angle, parts.translation, placement)
        fragments = rasterize(xy, depth, model.triangles, self.size)
        return fragments, torch.cat([xy * depth[..., None], depth[..., None]], dim=-1)

    def _on(self, device: torch.device) -> MorphableModel:
        if self._model.triangles.device != device:
            self._model = self._model.to(device)
        return self._model


def _visible_at(
    drawn: Fragments, points: Tensor, triangles: Tensor, place: Tensor, depth: Tensor
) -> Float[Tensor, "b 1 s s"]:
    """1 where a point at `place` [b, 2, s, s] and `depth` [b, 1, s, s] is not hidden in the drawn image."""
    front = interpolate(drawn, points[..., 2:], triangles)
    front = torch.where(drawn.mask > 0, front, -torch.inf)
    nearest = F.grid_sample(front, place.permute(0, 2, 3, 1), mode="nearest", align_corners=ALIGN_CORNERS)
    return ((depth <= nearest + DEPTH_TOLERANCE) & (nearest > 0)).to(depth.dtype)


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
