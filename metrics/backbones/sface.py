"""SFace, a face-recognition network (Zhong et al. 2021), from OpenCV Zoo's ONNX file."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.published import SFACE
from metrics.backbones.align import ARCFACE_SIZE, arcface_crops
from metrics.backbones.onnx_files import session
from metrics.backbones.protocols import LandmarkBackbone

DIMENSION = 128


class SFace:
    """128 numbers for each face; faces are found and aligned by a landmark backbone."""

    name = "SFace"
    stand_in = False

    def __init__(self, path: Path, landmarks: LandmarkBackbone) -> None:
        self._session = session(SFACE.checked(path), path, "the SFace identity backbone")
        self._landmarks = landmarks

    def embed(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Embeddings; NaN for a frame in which no face is found."""
        landmarks = self._landmarks.landmarks(images)
        found = landmarks.isfinite().flatten(1).all(dim=1)
        result = images.new_full((len(images), DIMENSION), torch.nan)
        if found.any():
            result[found] = self.embed_crops(arcface_crops(images[found], landmarks[found]))
        return result

    def embed_crops(self, crops: Float[Tensor, "t 3 s s"]) -> Float[Tensor, "t d"]:
        """Embeddings of aligned 112 px crops in [-1, 1]."""
        assert crops.shape[-1] == ARCFACE_SIZE
        pixels = ((crops.clamp(-1, 1) + 1) * 127.5).float().cpu().numpy()
        name = self._session.get_inputs()[0].name
        rows = [self._session.run(None, {name: pixel[None]})[0] for pixel in pixels]
        return torch.from_numpy(np.concatenate(rows)).to(crops)
