"""Files of a toy clip: MEAD's m4a (AAC, 48 kHz, stereo) and a PIRenderer-style `.mat`, the same bytes every time."""

import io
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, Float32
from scipy.io import savemat

from conventions.files import write_bytes
from face3d.morphable import PROCEDURAL
from toyworld.speech import FILE_RATE

DEEP3D_SIZE = 224
_MAT_HEADER = b"MATLAB 5.0 MAT-file, synthetic coefficients of the emospace toy world".ljust(116)
"""SciPy would write the date here."""


def write_m4a(path: Path, waveform: Float32[np.ndarray, " n"]) -> None:
    """Write 48 kHz mono samples in [-1, 1] as stereo AAC."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=FILE_RATE, layout="stereo", options={"aac_coder": "fast"})
        stream.bit_rate = 96_000
        stereo = np.ascontiguousarray(np.stack([waveform, waveform]))
        frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = FILE_RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_bytes(path, buffer.getvalue())


def transform_params(placement: Float[np.ndarray, "t 3"], size: int) -> Float32[np.ndarray, "t 5"]:
    """Deep3DFaceRecon's (w0, h0, s, t0, t1) of images of `size` pixels whose camera frame lies at `placement`.

    A pixel (x, y) of the image is (x - t0) s + 112, (y - (h0 - t1)) s + 112 of the 224 frame.
    """
    scale, x, y = placement.T
    sides = np.full_like(scale, size)
    across, down = (x + 1) * size / 2, (y + 1) * size / 2
    return np.stack([sides, sides, DEEP3D_SIZE / (scale * size), across, size - down], axis=1).astype(np.float32)


def write_mat(
    path: Path,
    coefficients: Float32[np.ndarray, "t 257"],
    placement: Float[np.ndarray, "t 3"],
    size: int,
    exact: Float32[np.ndarray, "t 257"] | None = None,
) -> None:
    """Write `coeff`, `transform_params` and `model` (the morphable model's name) of a clip.

    `exact` is what the clip was rendered from where `coefficients` are what a tracker would measure.
    """
    buffer = io.BytesIO()
    content = {"coeff": coefficients, "transform_params": transform_params(placement, size), "model": PROCEDURAL}
    content |= {} if exact is None else {"exact": exact}
    savemat(buffer, content, do_compression=True)
    write_bytes(path, _MAT_HEADER + buffer.getvalue()[116:])
