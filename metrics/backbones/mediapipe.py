"""MediaPipe's face landmarker from Google's official task file, as the 68 iBUG landmarks."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from conventions.weights import LANDMARKER, WeightFile
from face3d.landmarker import Landmarker


class MediaPipeLandmarks:
    """The largest face of each frame by itself, so that a frame's landmarks do not depend on those before it."""

    name = "MediaPipe Face Landmarker"
    stand_in = False
    file: ClassVar[WeightFile] = LANDMARKER
    package = ("mediapipe", "landmarks")

    def __init__(self, path: Path) -> None:
        self._path = LANDMARKER.checked(path)
        self._landmarker: Landmarker | None = None

    def landmarks(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """(x, y) in [-1, 1] across the frame; NaN where no face is found."""
        frames = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return torch.from_numpy(np.stack([self._find(frame) for frame in frames])).to(images.device)

    def faces(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "68 2"]]:
        """Landmarks in [-1, 1] of each face of one RGB frame, the largest first."""
        self._landmarker = self._landmarker or Landmarker(self._path)
        return [face * 2 - 1 for face in self._landmarker.detect(frame)]

    def _find(self, frame: np.ndarray) -> np.ndarray:
        faces = self.faces(frame)
        return faces[0] if faces else np.full((68, 2), np.nan, np.float32)
