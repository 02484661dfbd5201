"""The 68 iBUG landmarks of a picture, from MediaPipe's Face Landmarker (478 points)."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from conventions.errors import UserError
from face3d.landmarker import TASK_FILE, TASK_SOURCE, Landmarker

DEEP3D_FILE = "epoch_20.pth"
"""Deep3DFaceRecon's checkpoint, by the name under which it is published."""

SOURCES = {
    TASK_FILE: TASK_SOURCE,
    DEEP3D_FILE: "https://github.com/sicxu/Deep3DFaceRecon_pytorch#prepare-prerequisite-models",
    "face_recognition_sface.onnx": "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
    "enet_b0_8_best_vgaf.onnx": "https://github.com/sb-ai-lab/EmotiEffLib/tree/main/models/affectnet_emotions/onnx",
}
"""Where the official files of the optional weights are to be had."""

RIVAL_SIZE = 0.5
"""A second face counts as a rival of the first when it is at least this share of its width."""


class Faces(NamedTuple):
    """What was found in one picture: the largest face, and whether there is another of like size."""

    landmarks: Float[np.ndarray, "68 2"]
    """(x, y) in pixels from the picture's outer corner: the middle of the first pixel is (0.5, 0.5)."""
    rival: bool


def weight_folders(given: Path | str | None = None) -> list[Path]:
    """Folders in which optional weights are looked for: --weights, $EMOSPACE_WEIGHTS, the user's cache."""
    folders = [given, os.environ.get("EMOSPACE_WEIGHTS"), Path.home() / ".cache" / "emospace" / "weights"]
    return [Path(folder) for folder in folders if folder]


def find_weights(name: str, given: Path | str | None = None) -> Path:
    """Path of an optional weight file; a `UserError` that says where to get it when it is nowhere.

    `given` may be the file itself or a folder that holds it.
    """
    for folder in weight_folders(given):
        path = folder if folder.is_file() and folder.name == name else folder / name
        if path.is_file():
            return path
    looked = ", ".join(map(str, weight_folders(given)))
    source = f"; get it from {SOURCES[name]}" if name in SOURCES else ""
    raise UserError(f"{name}: not found in {looked} (--weights or EMOSPACE_WEIGHTS name another folder){source}")


def find_faces(landmarker: Landmarker, picture: UInt8[np.ndarray, "h w 3"]) -> Faces | None:
    """The largest face of an RGB picture, or None."""
    size = np.array([picture.shape[1], picture.shape[0]], np.float32)
    faces = [face * size for face in landmarker.detect(picture)]
    if not faces:
        return None
    widths = [float(np.ptp(face[:, 0])) for face in faces]
    return Faces(faces[0], any(width >= RIVAL_SIZE * widths[0] for width in widths[1:]))
