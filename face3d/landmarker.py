"""The 68 iBUG landmarks of an image, from MediaPipe's Face Landmarker (478 mesh points)."""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from conventions.errors import MissingPackage, UserError

IBUG = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""For each iBUG landmark (jaw, brows, nose, eyes, outer and inner lips) the nearest of MediaPipe's 478 mesh points."""

_MUTED = threading.Lock()

RIVAL_SIZE = 0.5
"""A second face counts as a rival of the first when it is at least this share of its width."""


class Landmarker:
    """Faces of an image as iBUG landmarks; each result depends on its image alone, without smoothing.

    MediaPipe's video mode would smooth over time and so delay the lips by part of a frame.
    """

    def __init__(self, weights: Path, num_faces: int = 2) -> None:
        vision, options = mediapipe_tasks()
        try:
            with muted_stderr():
                self._model = vision.FaceLandmarker.create_from_options(
                    vision.FaceLandmarkerOptions(
                        base_options=options(model_asset_buffer=weights.read_bytes()),
                        num_faces=num_faces,
                        running_mode=vision.RunningMode.IMAGE,
                    )
                )
                self.detect(np.zeros((8, 8, 3), np.uint8))  # its threads have started, and logged, when this returns
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{weights}: is not MediaPipe's face landmarker ({str(error).splitlines()[0]})") from error
        atexit.register(self._abandon)

    def close(self) -> None:
        """Free the model."""
        atexit.unregister(self._abandon)
        self._model.close()

    def _abandon(self) -> None:
        """At the interpreter's end its threads are gone: keep MediaPipe from asking them to close, and complaining."""
        self._model._handle = None

    def __enter__(self) -> "Landmarker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def detect(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "68 2"]]:
        """(x, y) of each face of an RGB image, 0 to 1 from its outer corner; the largest face first."""
        import mediapipe

        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        meshes = [
            np.array([(point.x, point.y) for point in face], np.float32)
            for face in self._model.detect(image).face_landmarks
        ]
        return [mesh[list(IBUG)] for mesh in sorted(meshes, key=lambda mesh: -float(np.ptp(mesh, axis=0).prod()))]


@contextlib.contextmanager
def muted_stderr() -> Iterator[None]:
    """Inside the block, writes to file descriptor 2 are dropped: MediaPipe's C++ code logs there whatever is set."""
    with _MUTED:
        try:
            kept = os.dup(2)
        except OSError:  # stderr is closed
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def mediapipe_tasks() -> tuple[Any, Any]:
    """MediaPipe's vision tasks and options."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _survive_profiling_timers()
    try:
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise MissingPackage("mediapipe", "landmarks", "Finding faces") from error
    return vision, BaseOptions


def _survive_profiling_timers() -> None:
    """Let Python know that SIGPROF is ignored.

    MediaPipe arms profiling timers on its threads and ignores their signal behind Python's back; the end of a
    Lightning fit puts back the handlers that Python has registered, and the next tick would end the process.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGPROF) is signal.SIG_DFL:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


class Faces(NamedTuple):
    """What was found in one image: the largest face, and whether there is another of like size."""

    landmarks: Float[np.ndarray, "68 2"]
    """(x, y) in pixels from the image's outer corner: the middle of the first pixel is (0.5, 0.5)."""
    rival: bool


def find_faces(landmarker: Landmarker, picture: UInt8[np.ndarray, "h w 3"]) -> Faces | None:
    """The largest face of an RGB image, or None."""
    size = np.array([picture.shape[1], picture.shape[0]], np.float32)
    faces = [face * size for face in landmarker.detect(picture)]
    if not faces:
        return None
    widths = [float(np.ptp(face[:, 0])) for face in faces]
    return Faces(faces[0], any(width >= RIVAL_SIZE * widths[0] for width in widths[1:]))
