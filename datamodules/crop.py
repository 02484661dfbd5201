"""Crops: Deep3DFaceRecon's frame about a face, and our training crop `wide-v1`, which is fixed for a whole clip.

All windows are upright squares (cx, cy, half) in pixels of the source image, whose upper left corner is (0, 0) and
whose first pixel's middle is (0.5, 0.5). A *camera window* is where Deep3DFaceRecon's 224-pixel frame lies, one for
each frame; the *crop* is one window for the clip; the *placement* of a frame is its camera window seen from the crop.
"""

from math import ceil, floor

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from face3d.camera import CROP_WIDENING, FRAME_SIZE
from face3d.keypoints import STANDARD_FIVE, five_points

Window = tuple[float, float, float]
"""(cx, cy, half) in source pixels."""

CROP = "wide-v1"
"""Name of the training crop: the clip's median camera window widened by `CROP_WIDENING`, edge pixels repeated."""

FARTHEST = 8
"""A camera window farther away or larger than this many longer sides of the image is no face's."""
LEAST_HALF = 1.0
"""Least half side of a camera window, in pixels."""

RESCALE = 102.0
"""Deep3DFaceRecon scales a face so that one decimetre of the standard face is 102 pixels of its frame."""


def align(landmarks: Float[np.ndarray, "t 68 2"], width: int, height: int) -> Float[np.ndarray, "t 5"]:
    """Deep3DFaceRecon's `transform_params` (w0, h0, s, t0, t1) of each frame, from landmarks in source pixels.

    The standard face's five points are fitted to those of the frame by a scaled orthographic camera (POS); s then
    brings the face to its standard size, and (t0, h0 - t1) is where the standard face's origin lies.
    Source: sicxu/Deep3DFaceRecon_pytorch, `util/preprocess.py`, `POS` and `align_img`.
    """
    points = five_points(torch.from_numpy(np.asarray(landmarks, np.float64))).numpy()
    points[..., 1] = height - points[..., 1]
    design = np.concatenate([STANDARD_FIVE.astype(np.float64), np.ones((5, 1))], axis=1)
    solution = np.linalg.pinv(design) @ points
    scale = np.linalg.norm(solution[:, :3], axis=1).mean(axis=1)
    return np.column_stack([np.full(len(scale), width), np.full(len(scale), height), RESCALE / scale, solution[:, 3]])


def camera_windows(
    params: Float[np.ndarray, "t 5"], width: int, height: int, whole_pixels: bool = False
) -> Float[np.ndarray, "t 3"]:
    """Camera window of each frame of a `width` x `height` image from its `transform_params`.

    `whole_pixels` repeats Deep3DFaceRecon's rounding (it resizes to whole sizes and cuts at whole pixels), which is
    right for files that it measured itself. Where w0 x h0 is not the image's size, the window scales with it.
    """
    w0, h0, s, t0, t1 = np.asarray(params, np.float64).T
    frame = float(FRAME_SIZE)
    x, y, half = t0, h0 - t1, frame / 2 / s
    if whole_pixels:
        w, h, left, top = published_cut(params).T
        x, y, half = (left + frame / 2) * w0 / w, (top + frame / 2) * h0 / h, frame / 4 * (w0 / w + h0 / h)
    return np.stack([x * width / w0, y * height / h0, half * (width / w0 + height / h0) / 2], axis=-1)


def published_cut(params: Float[np.ndarray, "t 5"]) -> Float[np.ndarray, "t 4"]:
    """(w, h, left, top) in whole pixels: Deep3DFaceRecon resizes an image to w x h and cuts its frame at (left, top).

    Source: sicxu/Deep3DFaceRecon_pytorch, `util/preprocess.py`, `resize_n_crop_img`.
    """
    w0, h0, s, t0, t1 = np.asarray(params, np.float64).T
    w, h = np.trunc(w0 * s), np.trunc(h0 * s)
    left = np.trunc(w / 2 - FRAME_SIZE / 2 + (t0 - w0 / 2) * s)
    top = np.trunc(h / 2 - FRAME_SIZE / 2 + (h0 / 2 - t1) * s)
    return np.stack([w, h, left, top], axis=-1)


def lie_about(windows: Float[np.ndarray, "t 3"], width: int, height: int) -> bool:
    """Whether every window is a square of some size that lies in or near the image."""
    most = FARTHEST * max(width, height)
    return bool((np.abs(windows) <= most).all() and (windows[:, 2] >= LEAST_HALF).all())


def fixed_crop(windows: Float[np.ndarray, "t 3"]) -> Window:
    """The crop of a clip: the median camera window, widened."""
    x, y, half = np.median(windows, axis=0)
    return float(x), float(y), float(half * CROP_WIDENING)


def placement(windows: Float[np.ndarray, "t 3"], crop: Window) -> Float[np.ndarray, "t 3"]:
    """(scale, x, y) of each frame: normalised crop coordinates = scale * normalised camera coordinates + (x, y)."""
    x, y, half = crop
    return np.stack([windows[:, 2], windows[:, 0] - x, windows[:, 1] - y], axis=-1).astype(np.float32) / np.float32(
        half
    )


def to_crop(points: Float[np.ndarray, "*n 2"], crop: Window) -> Float[np.ndarray, "*n 2"]:
    """Points in source pixels as normalised crop coordinates."""
    return ((points - np.array(crop[:2])) / crop[2]).astype(np.float32)


def cut(picture: UInt8[np.ndarray, "h w 3"], crop: Window, size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The crop of an image at `size` pixels: bicubic with antialiasing, exact to a fraction of a pixel.

    Where the crop reaches beyond the image, the edge pixels repeat.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = bounds(crop, size)
    columns, rows = np.clip(np.arange(left, right), 0, width - 1), np.clip(np.arange(top, bottom), 0, height - 1)
    inside = left >= 0 and top >= 0 and right <= width and bottom <= height
    region = picture[top:bottom, left:right] if inside else picture[rows[:, None], columns]
    x, y, half = crop[0] - left, crop[1] - top, crop[2]
    image = Image.fromarray(np.ascontiguousarray(region))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, (x - half, y - half, x + half, y + half)))


def bounds(crop: Window, size: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the whole pixels that `cut` looks at: the crop and the filter's margin about it."""
    x, y, half = crop
    margin = 2 * max(2 * half / size, 1.0) + 2
    low, high = (floor(x - half - margin), floor(y - half - margin)), (ceil(x + half + margin), ceil(y + half + margin))
    return *low, *high
