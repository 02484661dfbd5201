"""HSEmotion (Savchenko 2022), an EfficientNet that classifies the emotion of a face, from its authors' ONNX file.

A torch module with gradients (`OnnxModule`), in batches on the device of the images.
"""

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from conventions.weights import HSEMOTION, HSEMOTION_B2, WeightFile
from metrics.backbones.onnx_torch import OnnxModule
from metrics.backbones.protocols import IMAGENET_DEVIATION, IMAGENET_MEAN

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""The network's classes (AffectNet's) in its own order, which is that of `EMOTIONS`."""

SIZE = 224
BATCH = 32

FOREHEAD = 0.14
"""How far the face's box reaches above the 68 landmarks, as a share of their height.

The network's authors cut the box of MediaPipe's whole mesh; on 48 frames of 12 real clips its top lies 0.138 (standard
deviation 0.034) above the landmarks, its other sides on them.
"""


class HSEmotion(nn.Module):
    """Features and probabilities of each face, cut out by its landmarks."""

    name = "HSEmotion (enet_b0_8_best_vgaf)"
    stand_in = False
    file: ClassVar[WeightFile] = HSEMOTION
    size, dimension = SIZE, 1280

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.network = OnnxModule(self.file.checked(path), f"the emotion network {self.name}")
        if self.network.last != "Gemm":
            raise UserError(
                f"{path}: its last layer is {self.network.last}, expected the classifier, a dense layer (Gemm)"
            )
        self._check(path)

    def forward(self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t 8"]:
        """Logits of `EMOTIONS`; NaN for a frame without landmarks."""
        return self._features_and_logits(images, landmarks)[1]

    def features(self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t d"]:
        """What the classifier is given, for EFD and for losses; gradients reach the images."""
        return self._features_and_logits(images, landmarks)[0]

    def outputs(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]
    ) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t 8"]]:
        """Features and probabilities in one pass; NaN for a frame without landmarks."""
        features, logits = self._features_and_logits(images, landmarks)
        return features, logits.softmax(dim=1)

    def _features_and_logits(self, images: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        crops = face_crops(images, landmarks, self.size)
        found = crops.isfinite().flatten(1).all(dim=1).nonzero()[:, 0]
        features, logits = (images.new_full((len(images), width), torch.nan) for width in self._widths)
        if not len(found):
            return features, logits
        parts = [self.network.input_of_last(part) for part in normalised(crops[found]).split(BATCH)]
        rows, scores = (torch.cat(side) for side in zip(*parts, strict=True))
        return features.index_put((found,), rows), logits.index_put((found,), scores)

    @property
    def _widths(self) -> tuple[int, int]:
        return self.dimension, len(EMOTIONS)

    @torch.no_grad()
    def _check(self, path: Path) -> None:
        """UserError unless an image of the right size gives eight scores and the right number of features."""
        expected = f"expected {len(CLASSES)} scores and {self.dimension} features of {self.size} px"
        remedy = f"{expected}; get {self.file.name} from {self.file.source}"
        try:
            shapes = [
                output.shape[1:] for output in self.network.input_of_last(torch.zeros(1, 3, self.size, self.size))
            ]
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UserError(f"{path}: does not run ({str(error).splitlines()[0]}), {remedy}") from error
        if shapes != [(self.dimension,), (len(CLASSES),)]:
            found = " and ".join(str(tuple(shape)) for shape in reversed(shapes))
            raise UserError(f"{path}: gives {found}, {remedy}")


class HSEmotionB2(HSEmotion):
    """The authors' EfficientNet-B2 (260 px)."""

    name = "HSEmotion (enet_b2_8)"
    file = HSEMOTION_B2
    size, dimension = 260, 1408


def face_crops(
    images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"], side: int = SIZE
) -> Float[Tensor, "t 3 {side} {side}"]:
    """Each face's box stretched to a square, in [-1, 1]; NaN where there are no landmarks or they leave the frame.

    The box is cut to the frame and to whole pixels; it is smoothed as it shrinks, as in its authors' PyTorch package.
    """
    crops = []
    for index, (left, top, right, bottom) in enumerate(face_boxes(landmarks, images.shape[3], images.shape[2])):
        if right > left and bottom > top:
            crop = images[index : index + 1, :, top:bottom, left:right]
            crops.append(F.interpolate(crop, (side, side), mode="bilinear", antialias=True, align_corners=False))
        else:
            crops.append(images.new_full((1, 3, side, side), torch.nan))
    return torch.cat(crops)


def face_boxes(landmarks: Float[Tensor, "t 68 2"], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each face in pixels, inside the frame; all 0 without landmarks."""
    points = (landmarks + 1) / 2
    low, high = points.amin(dim=1), points.amax(dim=1)
    low[:, 1] -= FOREHEAD * (high[:, 1] - low[:, 1])
    size = points.new_tensor([width, height])
    corners = torch.cat([low, high], dim=1).nan_to_num(0).clamp(0, 1) * size.repeat(2)
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in corners.tolist()]


def normalised(crops: Float[Tensor, "... 3 s s"]) -> Float[Tensor, "... 3 s s"]:
    """Crops in [-1, 1] for the network: RGB of mean 0 and deviation 1 over ImageNet."""
    mean, deviation = (crops.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (((crops.clamp(-1, 1) + 1) / 2 - mean) / deviation).float()
