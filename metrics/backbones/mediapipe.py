"""MediaPipe's face landmarker from Google's official task file, as the 68 iBUG landmarks."""

import atexit
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.errors import MissingPackage, UserError
from metrics.backbones.files import WeightFile

TASK_FILE = WeightFile(
    "face_landmarker.task",
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "64184e229b263107",
)

IBUG = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""For each iBUG landmark (jaw, brows, nose, eyes, outer and inner lips) the nearest of MediaPipe's 478 mesh points."""


class MediaPipeLandmarks:
    """The largest face of each frame by itself, so that a frame's landmarks do not depend on those before it."""

    name = "MediaPipe Face Landmarker"
    stand_in = False

    def __init__(self, path: Path) -> None:
        self._path = TASK_FILE.checked(path)
        self._landmarker: Any = None

    def landmarks(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """(x, y) in [-1, 1] across the frame; NaN where no face is found."""
        frames = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return torch.from_numpy(np.stack([self._find(frame) for frame in frames])).to(images.device)

    def _find(self, frame: np.ndarray) -> np.ndarray:
        faces = self._detect(frame)
        if not faces:
            return np.full((68, 2), np.nan, np.float32)
        meshes = [np.array([(point.x, point.y) for point in face], np.float32) for face in faces]
        return max(meshes, key=lambda mesh: np.ptp(mesh, axis=0).prod())[list(IBUG)] * 2 - 1

    def _detect(self, frame: np.ndarray) -> Any:
        mediapipe = _mediapipe()
        self._landmarker = self._landmarker or _landmarker(mediapipe, self._path)
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
        return self._landmarker.detect(image).face_landmarks


def _mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError:
        raise MissingPackage("mediapipe", "landmarks", "the MediaPipe landmark backbone") from None
    return mediapipe


def _landmarker(mediapipe: Any, path: Path) -> Any:
    from mediapipe.tasks import python as tasks

    options = tasks.vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_buffer=path.read_bytes()), num_faces=2
    )
    try:
        landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: MediaPipe cannot read it ({str(error).splitlines()[0]})") from error
    atexit.register(landmarker.close)
    return landmarker
