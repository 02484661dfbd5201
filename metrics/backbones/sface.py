"""Face recognition from ONNX files: SFace (Zhong et al. 2021, OpenCV Zoo) and ArcFace (Deng et al. 2019, insightface).

Both are torch modules with gradients (`OnnxModule`), in batches on the device of the images.
"""

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from conventions.errors import UserError
from conventions.weights import ARCFACE, SFACE, WeightFile
from metrics.backbones.align import ARCFACE_SIZE, arcface_crops
from metrics.backbones.onnx_torch import OnnxModule

BATCH = 16


class SFace(nn.Module):
    """128 numbers for each face, aligned by its landmarks."""

    name = "SFace"
    stand_in = False
    file: ClassVar[WeightFile] = SFACE
    dimension = 128
    mean, scale = 0.0, 1.0
    """What the network is given is (pixel - mean) / scale, RGB, pixel in 0..255."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.network = OnnxModule(self.file.checked(path), f"the identity network {self.name}")
        self._check(path)

    def forward(self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t d"]:
        """As `embed`."""
        return self.embed(images, landmarks)

    def embed(self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t d"]:
        """Embeddings of frames in [-1, 1] by their landmarks; NaN where there are none. Gradients reach the images."""
        found = landmarks.isfinite().flatten(1).all(dim=1)
        result = images.new_full((len(images), self.dimension), torch.nan)
        if not found.any():
            return result
        embedded = self.embed_crops(arcface_crops(images[found], landmarks[found]))
        return result.index_put((found.nonzero()[:, 0],), embedded)

    def embed_crops(self, crops: Float[Tensor, "t 3 s s"]) -> Float[Tensor, "t d"]:
        """Embeddings of aligned 112 px crops in [-1, 1]."""
        assert crops.shape[-1] == ARCFACE_SIZE
        pixels = ((crops.clamp(-1, 1) + 1) * 127.5 - self.mean) / self.scale
        return torch.cat([self.network(part) for part in pixels.split(BATCH)])

    @torch.no_grad()
    def _check(self, path: Path) -> None:
        expected = f"expected {self.dimension} numbers of a face of {ARCFACE_SIZE} px; get {self.file.name}"
        try:
            shape = self.network(torch.zeros(1, 3, ARCFACE_SIZE, ARCFACE_SIZE)).shape
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"{path}: does not run ({str(error).splitlines()[0]}), {expected}") from error
        if shape != (1, self.dimension):
            raise UserError(f"{path}: gives {tuple(shape)}, {expected} from {self.file.source}")


class ArcFace(SFace):
    """512 numbers for each face: insightface's `w600k_r50.onnx`."""

    name = "ArcFace (w600k_r50)"
    file = ARCFACE
    dimension = 512
    mean, scale = 127.5, 127.5
