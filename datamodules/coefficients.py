"""3DMM coefficients of a clip: read from the `.mat` of another tool, or fitted to landmarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from jaxtyping import Float

from conventions.errors import RejectedClip
from conventions.rates import VIDEO_FPS
from datamodules.crop import camera_windows
from datamodules.video import VideoInfo
from face3d.coefficients import ANGLE, EXPRESSION, NUM_COEFFICIENTS, TRANSLATION, split
from face3d.morphable import PROCEDURAL, MorphableModel

BFM09 = "bfm09"
"""The model of a file that names none: Deep3DFaceRecon's."""
FIT_MODEL = PROCEDURAL
"""The model that is fitted to landmarks where no other is asked for: it needs no file."""

MOST = 1e4
"""Greatest value that a coefficient may have; a damaged file shows any."""

ROW_TOLERANCE = 0.02
"""A file may have this share (and 2) fewer or more rows than the clip has frames; which, is then measured."""


@dataclass(frozen=True)
class Measured:
    """The content of a coefficient file, a row for each frame of the clip it was measured on."""

    model: str
    coefficients: Float[np.ndarray, "t 257"]
    params: Float[np.ndarray, "t 5"]
    """(w0, h0, s, t0, t1) as in Deep3DFaceRecon's `align_img`."""
    exact: Float[np.ndarray, "t 257"] | None = None
    """What the clip was rendered from, where the file states it (`exact`)."""

    def at_source_rate(self, clip: VideoInfo, path: Path) -> bool:
        """Whether rows are source frames and not frames at 25 fps; RejectedClip where their number fits neither."""
        have, wanted = len(self.coefficients), round(clip.seconds * VIDEO_FPS)
        if _near(have, clip.frames) and abs(have - clip.frames) <= abs(have - wanted):
            return True
        if _near(have, wanted):
            return False
        raise RejectedClip("coefficients_mismatch", f"{path}: {have} rows for a clip of {clip.frames} frames")

    def missing(self, clip: VideoInfo, path: Path) -> int:
        """Frames of the clip beyond the rows, at the file's own rate; negative where rows are left over."""
        frames = clip.frames if self.at_source_rate(clip, path) else round(clip.seconds * VIDEO_FPS)
        return frames - len(self.coefficients)

    def rows(
        self, source_indices: Sequence[int], clip: VideoInfo, path: Path, first: int = 0, offset: int = 0
    ) -> tuple[list[int], int]:
        """The row of each 25 fps frame from number `first` on, given the source frames that these show.

        Frames that lie before the first row are left out, and counted in the second value; those beyond the last row
        are left out too. A file measured at the
        source's own rate has a row for each source frame: taking the row of the very frame that is shown keeps image
        and coefficients together. A file measured at 25 fps is taken as it is. `offset` is the rows by which the file
        begins late.
        """
        shown = source_indices if self.at_source_rate(clip, path) else range(first, first + len(source_indices))
        rows = [index - offset for index in shown]
        return [row for row in rows if 0 <= row < len(self.coefficients)], sum(row < 0 for row in rows)

    def windows(self, width: int, height: int) -> Float[np.ndarray, "t 3"]:
        """Camera window of each row in an image of that size, rounded as Deep3DFaceRecon does in files of its own."""
        with np.errstate(all="ignore"):
            return camera_windows(self.params, width, height, whole_pixels=self.model == BFM09)


def _near(rows: int, frames: int) -> bool:
    return abs(rows - frames) <= 2 + ROW_TOLERANCE * frames


def read_mat(path: Path) -> Measured:
    """Coefficients of a `.mat`: `coeff` [T, 257] and `transform_params` [T, 5], or SadTalker's `coeff_3dmm` [T, 73].

    Files of rendered clips may hold `exact` [T, 257] beside `coeff`.
    """
    content = _load(path)
    try:
        model = str(np.asarray(content["model"]).ravel()[0]) if "model" in content else BFM09
        both = _sadtalker(content) if "coeff_3dmm" in content else _deep3d(content)
        exact = _matrix(content["exact"], NUM_COEFFICIENTS, "exact") if "exact" in content else None
        if exact is not None and len(exact) != len(both[0]):
            raise ValueError(f"exact has {len(exact)} rows, the measured coefficients {len(both[0])}")
        measured = Measured(model, *both, exact)
    except KeyError as error:
        line = f"{path}: has no {error}; expected coeff [T, 257] and transform_params [T, 5]"
        raise RejectedClip("bad_coefficients", line) from error
    except (ValueError, IndexError, TypeError) as error:
        raise RejectedClip("bad_coefficients", f"{path}: {error}") from error
    vectors = [measured.coefficients] if measured.exact is None else [measured.coefficients, measured.exact]
    if not all(np.isfinite(array).all() for array in (*vectors, measured.params)):
        raise RejectedClip("bad_coefficients", f"{path}: has values that are not finite")
    if max(np.abs(array).max() for array in vectors) > MOST:
        raise RejectedClip("bad_coefficients", f"{path}: has values beyond {MOST:g}, which no face has")
    if not (measured.params[:, :3] > 0).all():
        raise RejectedClip("bad_coefficients", f"{path}: transform_params has sizes or scales that are not positive")
    return measured


def _load(path: Path) -> dict[str, Any]:
    try:
        return scipy.io.loadmat(path)
    except Exception as error:  # what SciPy raises on damaged files is not documented
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RejectedClip("bad_coefficients", f"{path}: is not a readable .mat ({line})") from error


def _matrix(value: np.ndarray, columns: int, name: str) -> np.ndarray:
    array = np.asarray(value, np.float32)
    if array.ndim != 2 or array.shape[1] != columns or not len(array):
        raise ValueError(f"{name} has shape {array.shape}, not [T, {columns}]")
    return array


def _deep3d(content: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    coefficients = _matrix(content["coeff"], NUM_COEFFICIENTS, "coeff")
    params = _matrix(content["transform_params"], 5, "transform_params")
    if len(coefficients) != len(params):
        raise ValueError(f"coeff has {len(coefficients)} rows, transform_params {len(params)}")
    return coefficients, params


def _sadtalker(content: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """SadTalker's 73 numbers: expression 64, angle 3, translation 3, (s, t0, t1) on its 256-pixel image.

    Identity, texture and light come from its `full_3dmm` (one vector for the clip), or are zero without it.
    """
    short = _matrix(content["coeff_3dmm"], 73, "coeff_3dmm")
    coefficients = np.zeros((len(short), NUM_COEFFICIENTS), np.float32)
    if "full_3dmm" in content:
        coefficients[:] = np.asarray(content["full_3dmm"], np.float32).reshape(-1, NUM_COEFFICIENTS)[:1]
    coefficients[:, EXPRESSION], coefficients[:, ANGLE] = short[:, :64], short[:, 64:67]
    coefficients[:, TRANSLATION] = short[:, 67:70]
    return coefficients, np.concatenate([np.full((len(short), 2), 256, np.float32), short[:, 70:]], axis=1)


def project_keypoints(
    model: str, coefficients: Float[np.ndarray, "t 257"], placement: Float[np.ndarray, "t 3"]
) -> Float[np.ndarray, "t 68 2"]:
    """The 68 keypoints of a model that needs no file, in normalised crop coordinates."""
    from face3d.camera import project
    from face3d.morphable import keypoint_model, load_model

    parts = split(torch.from_numpy(np.asarray(coefficients, np.float32)))
    points = keypoint_model(load_model(model)).shape(parts.identity, parts.expression)
    xy, _ = project(points, parts.angle, parts.translation, torch.from_numpy(np.asarray(placement, np.float32)))
    return xy.numpy()


def fit(
    landmarks: Float[np.ndarray, "t 68 2"], placement: Float[np.ndarray, "t 3"], model: MorphableModel
) -> Float[np.ndarray, "t 257"]:
    """Coefficients whose keypoints meet the landmarks (normalised crop coordinates) under the given placement."""
    from face3d.fitting import fit_landmarks

    result = fit_landmarks(
        model,
        torch.from_numpy(np.asarray(landmarks, np.float32)),
        placement=torch.from_numpy(np.asarray(placement, np.float32)),
    )
    return result.coefficients.numpy()
