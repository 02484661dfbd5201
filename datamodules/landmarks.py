"""The 68 iBUG landmarks of a picture, from MediaPipe's Face Landmarker (478 points)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from conventions.errors import MissingPackage, UserError

LANDMARKER = "face_landmarker.task"
SOURCES = {
    LANDMARKER: "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    "face_recognition_sface.onnx": "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
}
"""Where the official files of the optional weights are to be had."""

IBUG_FROM_MEDIAPIPE = np.array(
    [
        *(127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356),
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
        *(78, 82, 13, 312, 308, 317, 14, 87),
    ]
)
"""A vertex of MediaPipe's face mesh for each iBUG landmark: jaw (evenly on the contour), brows, nose, eyes, lips."""

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


class Landmarker:
    """MediaPipe's Face Landmarker on single pictures: each result depends on its picture alone, without smoothing.

    Its video mode would smooth over time and so delay the lips by part of a frame.
    """

    def __init__(self, weights: Path) -> None:
        vision, options = _mediapipe()
        try:
            self._model = vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=options(model_asset_buffer=weights.read_bytes()),
                    num_faces=2,
                    running_mode=vision.RunningMode.IMAGE,
                )
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{weights}: is no face landmarker of MediaPipe ({str(error).splitlines()[0]})") from error

    def close(self) -> None:
        """Free the model; MediaPipe complains when the interpreter ends first."""
        self._model.close()

    def __enter__(self) -> "Landmarker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def detect(self, picture: UInt8[np.ndarray, "h w 3"]) -> Faces | None:
        """The largest face of an RGB picture, or None."""
        import mediapipe

        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        faces = [_points(face) for face in self._model.detect(image).face_landmarks]
        if not faces:
            return None
        widths = [float(np.ptp(face[:, 0])) for face in faces]
        largest = int(np.argmax(widths))
        rivals = sum(width >= RIVAL_SIZE * widths[largest] for width in widths)
        size = np.array([picture.shape[1], picture.shape[0]], np.float32)
        return Faces(faces[largest][IBUG_FROM_MEDIAPIPE] * size, rivals > 1)


def _points(face: Sequence[Any]) -> np.ndarray:
    return np.array([(point.x, point.y) for point in face], np.float32)


def _mediapipe() -> tuple[Any, Any]:
    """MediaPipe's vision tasks and options, its start-up chatter silenced."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise MissingPackage("mediapipe", "landmarks", "Finding faces") from error
    return vision, BaseOptions
