"""The arrays of a store: type and shape of what each holds for a video frame, and one over the rows of all shards."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from conventions.rates import MEL_BINS, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS, SAMPLES_PER_FRAME
from datamodules.audio import MFCC_MARGIN
from face3d.coefficients import NUM_COEFFICIENTS

FRAMES = "frames.bin"
FRAME_ENDS = "frame_ends"

EXACT = "exact"
"""An array beside `coefficients` in shards whose clips were rendered: the 3DMM vectors that they were rendered from."""

INT16_MAX = 32767
"""Audio in [-1, 1] is stored as integers in -32767 .. 32767."""


class Form(NamedTuple):
    """One array."""

    kind: type
    shape: tuple[int, ...]
    """Of a row (one video frame)."""
    margin: int = 0
    """Rows beyond the clip's own that lie before its first and after its last."""


ARRAYS: dict[str, Form] = {
    "coefficients": Form(np.float32, (NUM_COEFFICIENTS,)),
    "placement": Form(np.float32, (3,)),
    "mfcc": Form(np.float32, (MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS), MFCC_MARGIN),
    "mel": Form(np.float32, (MEL_STEPS_PER_FRAME, MEL_BINS)),
    "landmarks": Form(np.float32, (68, 2)),
    "audio": Form(np.int16, (SAMPLES_PER_FRAME,)),
}
"""By name; of MFCC the steps of 10 ms are stored, of which each frame's window is a view."""


class Rows:
    """Rows `0 .. n` that lie in pieces one after another; indexed as a NumPy array is, and read-only.

    Args:
        bounds: first row of each piece, and the number of all rows.
        read: (piece, first, last) to rows `first .. last` of a piece, counted from its own beginning.
        dtype: type of the elements.
        shape: shape of a row.
    """

    def __init__(
        self,
        bounds: Int64[np.ndarray, " p"],
        read: Callable[[int, int, int], np.ndarray],
        dtype: type,
        shape: tuple[int, ...],
    ) -> None:
        self._bounds, self._read = bounds, read
        self.dtype = np.dtype(dtype)
        self.shape = (int(bounds[-1]), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            leading = 1 if isinstance(key[0], slice) else np.ndim(key[0])
            return self[key[0]][(slice(None),) * leading + key[1:]]
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            return self._range(first, last) if step == 1 else self[np.arange(first, last, step)]
        places = np.asarray(key)
        if places.ndim == 0:
            return self._row(int(places))
        rows = [self._row(place) for place in places.reshape(-1).tolist()]
        return np.array(rows, self.dtype).reshape(*places.shape, *self.shape[1:])

    def _row(self, place: int) -> np.ndarray:
        place += len(self) if place < 0 else 0
        if not 0 <= place < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        return self._range(place, place + 1)[0]

    def _range(self, first: int, last: int) -> np.ndarray:
        pieces = []
        piece = int(np.searchsorted(self._bounds, first, "right")) - 1
        while first < last:
            begin, end = int(self._bounds[piece]), min(last, int(self._bounds[piece + 1]))
            pieces.append(self._read(piece, first - begin, end - begin))
            first, piece = end, piece + 1
        if not pieces:
            return np.zeros((0, *self.shape[1:]), self.dtype)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
