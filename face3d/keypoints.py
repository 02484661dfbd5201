"""The 68 iBUG landmarks: which are which, and the five points by which Deep3DFaceRecon aligns its frame."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

NUM_KEYPOINTS = 68

JAW = slice(0, 17)
BROWS = slice(17, 27)
NOSE = slice(27, 36)
EYES = slice(36, 48)
MOUTH = slice(48, 68)
UPPER_INNER_LIP, LOWER_INNER_LIP = 62, 66
"""Their middles."""

STANDARD_FIVE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ],
    dtype=np.float32,
)
"""Eyes, nose tip and mouth corners of the mean face in decimetres (Deep3DFaceRecon, `similarity_Lm3D_all.mat`)."""


def five_points(keypoints: Float[Tensor, "*b 68 d"]) -> Float[Tensor, "*b 5 d"]:
    """Middle of each eye's corners (image left first), nose tip, and the mouth's corners."""
    pick = [
        keypoints[..., [36, 39], :].mean(-2),
        keypoints[..., [42, 45], :].mean(-2),
        keypoints[..., 30, :],
        keypoints[..., 48, :],
        keypoints[..., 54, :],
    ]
    return torch.stack(pick, dim=-2)
