"""Face recognition from ONNX files: SFace (Zhong et al. 2021, OpenCV Zoo) and ArcFace (Deng et al. 2019, insightface).

Both are torch modules with gradients (`OnnxModule`), in batches on the device of the images. Faces are brought to the
five-point template of face recognition, and resampled there.
"""

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.errors import UserError
from conventions.weights import ARCFACE, SFACE, WeightFile
from metrics.backbones.onnx_torch import OnnxModule

ARCFACE_SIZE = 112
ARCFACE_TEMPLATE = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041),
)  # fmt: skip
"""Eyes, nose tip, mouth corners in px of a 112 px crop (Deng et al. 2019, insightface)."""


def five_points(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t 5 2"]:
    """Eye centres, nose tip and mouth corners of the iBUG landmarks."""
    eyes = [landmarks[:, 36:42].mean(dim=1), landmarks[:, 42:48].mean(dim=1)]
    return torch.stack([*eyes, landmarks[:, 30], landmarks[:, 48], landmarks[:, 54]], dim=1)


def similarity(source: Float[Tensor, "t n 2"], target: Float[Tensor, "t n 2"]) -> Float[Tensor, "t 2 3"]:
    """Matrices of rotation, scale and shift that bring `source` nearest to `target` (least squares, no mirroring)."""
    source_mean, target_mean = source.mean(dim=1, keepdim=True), target.mean(dim=1, keepdim=True)
    a, b = source - source_mean, target - target_mean
    along = (a * b).sum(dim=(1, 2))
    across = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=1)
    cosine, sine = (part / a.square().sum(dim=(1, 2)) for part in (along, across))
    linear = torch.stack([torch.stack([cosine, -sine], dim=-1), torch.stack([sine, cosine], dim=-1)], dim=1)
    shift = target_mean.transpose(1, 2) - linear @ source_mean.transpose(1, 2)
    return torch.cat([linear, shift], dim=2)


def arcface_crops(images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t 3 s s"]:
    """112 px crops with the five points on the template; landmarks are in [-1, 1] and finite.

    Frames that are larger than the crop are smoothed first, as far as the mean scale asks for it.
    """
    height, width = images.shape[-2:]
    size = landmarks.new_tensor([width, height])
    points = (five_points(landmarks) + 1) / 2 * size
    template = landmarks.new_tensor(ARCFACE_TEMPLATE).expand(len(points), -1, -1)
    matrix = similarity(template + 0.5, points)
    shrink = float(matrix[:, :, :2].norm(dim=(1, 2)).mean() / 2**0.5)
    if shrink > 1:
        smaller = [max(1, round(side / shrink)) for side in (height, width)]
        images = F.interpolate(images, smaller, mode="bilinear", antialias=True, align_corners=False)
    return F.grid_sample(images, template_grid(matrix, size), padding_mode="zeros", align_corners=False)


def template_grid(matrix: Float[Tensor, "t 2 3"], size: Float[Tensor, "2"]) -> Float[Tensor, "t s s 2"]:
    """Where each pixel of the 112 px crop lies in the frame, in [-1, 1]; `matrix` maps crop px to frame px."""
    centres = torch.arange(ARCFACE_SIZE, device=matrix.device) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    homogeneous = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return torch.einsum("hwk,tck->thwc", homogeneous, matrix) / size * 2 - 1


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
