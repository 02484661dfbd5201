"""Metrics of landmarks: LMD, and THEval's naturalness as far as it needs no more than landmarks and voice activity.

LMD is how far the generated face's landmarks lie from the true ones, in pixels of a stated crop.

Naturalness (Quignon et al. 2025, arXiv 2511.04520) has a value of one video; a score compares the means of a method
and of the truth: 1 - |method - truth| / |truth|. The paper uses MediaPipe's mesh points and silero's voice activity;
here are the 68 iBUG landmarks among them, and voice activity by loudness. So scores are comparable with each other,
not with the paper's.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
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


INNER_LIPS = ((61, 67), (62, 66), (63, 65))
"""Upper and lower inner-lip landmarks above one another."""
LEAST_VOICE = 0.1
"""Share of voiced frames that lip-sync needs."""


def eye_distance(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, " t"]:
    """Distance of the outer eye corners."""
    return (landmarks[:, 45] - landmarks[:, 36]).norm(dim=-1)


def lip_opening(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, " t"]:
    """Mean vertical distance of inner upper and lower lip, in eye distances."""
    upper, lower = (landmarks[:, [pair[side] for pair in INNER_LIPS], 1] for side in (0, 1))
    return (lower - upper).abs().mean(dim=1) / eye_distance(landmarks)


def lip_dynamics(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, ""]:
    """Variance over frames of the distances between all lip landmarks in eye distances, mean over pairs."""
    found = _found(landmarks)
    if len(found) < 2:
        return found.new_tensor(torch.nan)
    lips = found[:, 48:68] / eye_distance(found)[:, None, None]
    first, second = torch.triu_indices(20, 20, 1)
    return (lips[:, first] - lips[:, second]).norm(dim=-1).var(dim=0, correction=0).mean()


def eyebrow_dynamics(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, ""]:
    """Mean change from frame to frame of the distance of brow and eye centre, in distances of the eye centres."""
    found = _found(landmarks)
    if len(found) < 2:
        return found.new_tensor(torch.nan)
    eyes = [found[:, 36:42].mean(dim=1), found[:, 42:48].mean(dim=1)]
    brows = [found[:, 17:22].mean(dim=1), found[:, 22:27].mean(dim=1)]
    scale = (eyes[0] - eyes[1]).norm(dim=-1)
    heights = torch.stack([(b - e).norm(dim=-1) / scale for b, e in zip(brows, eyes, strict=True)])
    return heights.diff(dim=1).abs().mean()


def silent_lips(landmarks: Float[Tensor, "t 68 2"], voice: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
    """Median absolute deviation from the mean of the lip opening over the frames without voice; NaN under two."""
    opening = lip_opening(landmarks)[~voice]
    opening = opening[opening.isfinite()]
    if len(opening) < 2:
        return opening.new_tensor(torch.nan)
    return (opening - opening.mean()).abs().quantile(0.5)


def lip_sync(
    landmarks: Float[Tensor, "t 68 2"], loudness: Float[Tensor, " t"], voice: Bool[Tensor, " t"]
) -> Float[Tensor, ""]:
    """Mean difference of lip opening and loudness, each scaled to 0..1 over voiced frames; NaN with little voice."""
    opening = lip_opening(landmarks)
    used = voice & opening.isfinite()
    if int(used.sum()) < 2 or float(voice.float().mean()) < LEAST_VOICE:
        return opening.new_tensor(torch.nan)
    scaled = [(v - v.min()) / (v.max() - v.min() + 1e-8) for v in (opening[used], loudness[used].to(opening))]
    return (scaled[0] - scaled[1]).abs().mean()


def closeness(method: Float[Tensor, ""], truth: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """1 - |method - truth| / |truth|: 1 where they agree, not bounded below; NaN where the truth's value is 0."""
    return torch.where(truth == 0, torch.nan, 1 - (method - truth).abs() / truth.abs())


def _found(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "n 68 2"]:
    return landmarks[landmarks.isfinite().flatten(1).all(dim=1)].double()
