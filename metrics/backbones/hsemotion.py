"""HSEmotion (Savchenko 2022), an EfficientNet-B0 that names the emotion of a face, from its makers' ONNX file."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from conventions.published import HSEMOTION
from metrics.backbones.onnx_files import session, with_classifier_input
from metrics.backbones.protocols import LandmarkBackbone

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""The network's classes (AffectNet's) in its own order, which is that of `EMOTIONS`."""

SIZE = 224
DIMENSION = 1280
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FOREHEAD = 0.14
"""How far the face's box reaches above the 68 landmarks, as a share of their height.

The network's makers cut the box of MediaPipe's whole mesh; on 48 frames of 12 real clips its top lies 0.138 (standard
deviation 0.034) above the landmarks, its other sides on them.
"""

PURPOSE = "the HSEmotion emotion backbone"


class HSEmotion:
    """Features and probabilities of each face; faces are found by a landmark backbone."""

    name = "HSEmotion (enet_b0_8_best_vgaf)"
    stand_in = False

    def __init__(self, path: Path, landmarks: LandmarkBackbone) -> None:
        self._session = session(with_classifier_input(HSEMOTION.checked(path), PURPOSE), path, PURPOSE)
        self._landmarks = landmarks
        self._check(path)

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """What the classifier sees, for EFD; NaN for a frame in which no face is found."""
        return self.outputs(images)[0]

    def probabilities(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 8"]:
        """Probabilities of `EMOTIONS`; NaN for a frame in which no face is found."""
        return self.outputs(images)[1]

    def outputs(self, images: Float[Tensor, "t 3 h w"]) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t 8"]]:
        """Features and probabilities in one pass."""
        crops = face_crops(images, self._landmarks.landmarks(images))
        features, logits = (images.new_full((len(images), width), torch.nan) for width in (DIMENSION, len(EMOTIONS)))
        for index in crops.isfinite().flatten(1).all(dim=1).nonzero()[:, 0].tolist():
            scores, row = self._run(normalised(crops[index]).cpu().numpy())
            features[index], logits[index] = torch.from_numpy(row).to(features), torch.from_numpy(scores).to(logits)
        return features, logits.softmax(dim=1)

    def _run(self, crop: Float[np.ndarray, "3 s s"]) -> list[np.ndarray]:
        name = self._session.get_inputs()[0].name
        return [output[0] for output in self._session.run(None, {name: crop[None]})]

    def _check(self, path: Path) -> None:
        """UserError unless a 224 px picture gives eight scores and 1280 features."""
        expected = f"expected {len(CLASSES)} scores and {DIMENSION} features of {SIZE} px; get {HSEMOTION.name}"
        source = f"{expected} from {HSEMOTION.source}"
        try:
            shapes = [output.shape for output in self._run(np.zeros((3, SIZE, SIZE), np.float32))]
        except Exception as error:
            taken = self._session.get_inputs()[0].shape
            raise UserError(f"{path}: takes pictures of the shape {taken}, {source}") from error
        if shapes != [(len(CLASSES),), (DIMENSION,)]:
            raise UserError(f"{path}: gives {' and '.join(map(str, shapes))}, {source}")


def face_crops(images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, "t 3 224 224"]:
    """Each face's box stretched to a square, in [-1, 1]; NaN where there are no landmarks or they leave the frame.

    The box is cut to the frame and to whole pixels; it is smoothed as it shrinks, as in its makers' PyTorch package.
    """
    crops = images.new_full((len(images), 3, SIZE, SIZE), torch.nan)
    for index, (left, top, right, bottom) in enumerate(face_boxes(landmarks, images.shape[3], images.shape[2])):
        if right > left and bottom > top:
            crop = images[index : index + 1, :, top:bottom, left:right]
            size = (SIZE, SIZE)
            crops[index] = F.interpolate(crop, size, mode="bilinear", antialias=True, align_corners=False)[0]
    return crops


def face_boxes(landmarks: Float[Tensor, "t 68 2"], width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of each face in pixels, inside the frame; all 0 without landmarks."""
    points = (landmarks + 1) / 2
    low, high = points.amin(dim=1), points.amax(dim=1)
    low[:, 1] -= FOREHEAD * (high[:, 1] - low[:, 1])
    size = points.new_tensor([width, height])
    corners = torch.cat([low, high], dim=1).nan_to_num(0).clamp(0, 1) * size.repeat(2)
    return [(int(x0), int(y0), int(x1), int(y1)) for x0, y0, x1, y1 in corners.tolist()]


def normalised(crops: Float[Tensor, "... 3 s s"]) -> Float[Tensor, "... 3 s s"]:
    """Crops in [-1, 1] as the network wants them: RGB of mean 0 and deviation 1 over ImageNet."""
    mean, deviation = (crops.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (((crops.clamp(-1, 1) + 1) / 2 - mean) / deviation).float()
