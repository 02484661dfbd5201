"""Head pose of a talking face: natural, still, or the motion of a driving clip or a coefficient file."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from conventions.errors import UserError
from conventions.weights import LANDMARKER
from datamodules.catalogue import VIDEO_SUFFIXES
from datamodules.clip_face import MAX_FRAMES, release, row_offset, track_landmarks
from datamodules.coefficients import Measured, fit, read_mat
from datamodules.crop import align, camera_windows, fixed_crop, placement, to_crop
from datamodules.mead import Reference
from datamodules.video import iterate_frames, probe
from face3d.camera import angles, default_placement, rotation
from face3d.coefficients import ANGLE, TRANSLATION
from face3d.morphable import MorphableModel

NATURAL = "natural"
"""The pose that moves with the rhythm of the speech."""

STILL = "still"
"""The pose that keeps the portrait's own."""


@dataclass(frozen=True)
class HeadPose:
    """Where a head was in each frame, 25 a second. Only its motion since the first frame counts."""

    angle: Float[Tensor, "t 3"]
    translation: Float[Tensor, "t 3"]
    placement: Float[Tensor, "t 3"]
    """(scale, x, y) of the camera frame in the clip's own crop."""

    def __len__(self) -> int:
        return len(self.angle)

    def drive(
        self, source: Reference, start: int, count: int
    ) -> tuple[Float[Tensor, "{count} 257"], Float[Tensor, "{count} 3"]]:
        """The portrait's coefficients and placement, moved as the head moves in frames `start` .. `start + count`.

        In frame 0 they are the portrait's own. The head turns about its own axes, so that a nod is a nod whichever way
        the portrait looks. Beyond its end the motion goes back and forth.
        """
        frames = back_and_forth(start, count, len(self))
        coefficients = turned(source, rotation(self.angle[frames].double()) @ rotation(self.angle[0].double()).mT)
        coefficients[:, TRANSLATION] += self.translation[frames] - self.translation[0]
        place = source.placement.repeat(count, 1)
        place[:, 0] *= self.placement[frames, 0] / self.placement[0, 0]
        place[:, 1:] += self.placement[frames, 1:] - self.placement[0, 1:]
        return coefficients, place


def turned(source: Reference, turn: Float[Tensor, "t 3 3"]) -> Float[Tensor, "t 257"]:
    """The portrait's coefficients with the head turned about its own axes."""
    coefficients = source.coefficients.repeat(len(turn), 1)
    coefficients[:, ANGLE] = angles(turn @ rotation(source.coefficients[ANGLE].double())).float()
    return coefficients


def back_and_forth(start: int, count: int, length: int) -> Int[Tensor, " {count}"]:
    """Frames `start` .. `start + count` of an endless clip: 0 .. length - 1, back to 0, and so on, a step at most."""
    period = max(2 * (length - 1), 1)
    frames = torch.arange(start, start + count) % period
    return torch.minimum(frames, period - frames) if length > 1 else torch.zeros_like(frames)


def read_pose(pose: str | Path, model: MorphableModel, num_frames: int, weights: Path | None = None) -> HeadPose | None:
    """The head pose that `--pose` names: `still`, a `.mat` (a row for each frame at 25 fps), or a video.

    None for `natural`, which the speech makes. Of a video, the `.mat` beside it is taken where there is one; otherwise
    its face is found in each of the first `num_frames` frames (at most 20 minutes) and `model` is fitted to it.
    """
    if pose == NATURAL:
        return None
    if pose == STILL:
        return HeadPose(torch.zeros(1, 3), torch.zeros(1, 3), torch.ones(1, 3))
    path = Path(pose)
    if path.suffix.lower() not in VIDEO_SUFFIXES | {".mat"}:
        raise UserError(
            f"pose: {path}: is neither a video nor a .mat file; valid: {NATURAL}, {STILL}, CLIP.mp4, FILE.mat"
        )
    if not path.is_file():
        raise UserError(f"pose: {path}: no such file")
    if path.suffix.lower() == ".mat":
        measured = read_mat(path)
        width, height = measured.params[0, :2].round().astype(int).tolist()
        return _measured(measured, list(range(len(measured.params))), width, height)
    sidecar, limit = path.with_suffix(".mat"), min(num_frames, MAX_FRAMES)
    return _beside(path, sidecar, limit, weights) if sidecar.is_file() else _tracked(path, model, limit, weights)


def _beside(video: Path, sidecar: Path, limit: int, weights: Path | None) -> HeadPose:
    """The pose of a `.mat` beside a video; the head is still in frames before its first row."""
    measured, clip = read_mat(sidecar), probe(video)
    shown = [frame.source_index for frame in itertools.islice(iterate_frames(video), limit)]
    landmarker = LANDMARKER.find(weights) if measured.missing(clip, sidecar) else None
    try:
        offset = row_offset(video, sidecar, measured, clip, shown, landmarker)
    finally:
        release()
    rows, before = measured.rows(shown, clip, sidecar, offset=offset or 0)
    return _measured(measured, [rows[0]] * before + rows, clip.width, clip.height)


def _measured(measured: Measured, rows: list[int], width: int, height: int) -> HeadPose:
    windows = measured.windows(width, height)[rows]
    return _pose(measured.coefficients[rows], placement(windows, fixed_crop(windows)))


def _tracked(video: Path, model: MorphableModel, limit: int, weights: Path | None) -> HeadPose:
    probe(video)  # a file that is no video is reported before missing weights
    try:
        points, (width, height) = track_landmarks(video, LANDMARKER.find(weights), limit)
    finally:
        release()
    window = fixed_crop(camera_windows(align(points, width, height), width, height))
    centred = default_placement(len(points)).numpy()
    return _pose(fit(to_crop(points, window), centred, model), centred)


def _pose(coefficients: np.ndarray, place: np.ndarray) -> HeadPose:
    rows = torch.from_numpy(np.asarray(coefficients, np.float32))
    return HeadPose(rows[:, ANGLE], rows[:, TRANSLATION], torch.from_numpy(np.asarray(place, np.float32)))
