"""One array over the rows of all shards of a store, read from their memory-mapped files."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64


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
