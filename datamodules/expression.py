"""E-FID's network: the 64 expression coefficients that Deep3DFaceRecon's network gives for each frame."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.weights import DEEP3D, WeightFile
from datamodules.deep3d import cut_frame, identify, measure, open_network, transform_params
from face3d.coefficients import EXPRESSION

BATCH = 32


class Deep3DExpression:
    """Expression coefficients of faces, aligned by their landmarks as Deep3DFaceRecon does."""

    name = "Deep3DFaceRecon"
    stand_in = False
    file: ClassVar[WeightFile] = DEEP3D
    num_features = 64

    def __init__(self, path: Path) -> None:
        self.network = open_network(identify(path))

    def coefficients(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]
    ) -> Float[Tensor, "t d"]:
        """Expression coefficients of frames in [-1, 1]; NaN for a frame without landmarks."""
        result = images.new_full((len(images), self.num_features), torch.nan)
        found = landmarks.isfinite().flatten(1).all(dim=1).nonzero()[:, 0].tolist()
        if not found:
            return result
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        height, width = pixels.shape[1:3]
        points = ((landmarks.cpu().double().numpy() + 1) / 2 * [width, height])[found]
        params = transform_params(points, width, height)
        cuts = np.stack([cut_frame(pixels[i], (0, 0), row) for i, row in zip(found, params, strict=True)])
        measured = [measure(self.network, cuts[i : i + BATCH])[:, EXPRESSION] for i in range(0, len(cuts), BATCH)]
        result[found] = torch.from_numpy(np.concatenate(measured)).to(result)
        return result
