"""Packing: from one part for each clip to the few large files of a store, in one pass and with bounded memory."""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from conventions.errors import UserError
from conventions.files import atomic_file, write_json
from datamodules.crop import CROP
from datamodules.manifest import FORMAT, MANIFEST, VERSION, content_hash
from datamodules.parts import PICTURES, SIZES, names_in, read_part
from datamodules.store import ARRAYS, EXACT, FRAME_ENDS, FRAMES

_OF_THE_SOURCE = ("model", "sound_offset", "row_offset", "notes")
"""What a part's meta holds beyond the fields of a `StoredClip`."""


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def pack(store: Path, parts: Sequence[tuple[Path, dict[str, Any]]], size: int, extra: dict[str, Any]) -> dict[str, Any]:
    """Pack parts (path and meta, in the order of the store) and return the manifest, which is written last.

    `extra` goes into the manifest beside the content: it takes no part in the content hash.
    """
    clips, model = _clips([meta for _, meta in parts]), _common_model([meta for _, meta in parts])
    (store / MANIFEST).unlink(missing_ok=True)
    for stale in store.glob("speech.*.npy"):  # features of other rows, added by `emospace store --add-speech`
        stale.unlink()
    files = _write_files(store, [path for path, _ in parts], sum(clip["length"] for clip in clips))
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "hash": "",
        "size": size,
        "crop": CROP,
        "coefficient_model": model,
        "clips": clips,
        "files": files,
        **extra,
    }
    manifest["hash"] = content_hash(manifest)
    write_json(store / MANIFEST, manifest)
    return manifest


def _clips(metas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Manifest entries: the content by each meta, with the row at which it starts."""
    starts = np.cumsum([0, *(meta["length"] for meta in metas)]).tolist()
    return [
        {**{key: value for key, value in meta.items() if key not in _OF_THE_SOURCE}, "start": start}
        for meta, start in zip(metas, starts, strict=False)
    ]


def _common_model(metas: Sequence[dict[str, Any]]) -> str | None:
    models = sorted({meta["model"] for meta in metas if meta["model"] is not None})
    if len(models) > 1:
        examples = ", ".join(f"{m} ({next(meta['id'] for meta in metas if meta['model'] == m)})" for m in models)
        raise UserError(f"coefficients of several face models cannot share a store: {examples}; prepare them apart")
    return models[0] if models else None


def _arrays_of(parts: Sequence[Path]) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Type and shape of a row of each array: `exact` only where all parts have it."""
    exact = all(EXACT in names_in(path) for path in parts)
    return {**ARRAYS, EXACT: ARRAYS["coefficients"]} if exact else ARRAYS


def _write_files(store: Path, parts: Sequence[Path], rows: int) -> dict[str, str]:
    """Write the arrays and pictures of all parts; SHA-256 of each file by name."""
    (store / f"{EXACT}.npy").unlink(missing_ok=True)
    wanted = _arrays_of(parts)
    with contextlib.ExitStack() as stack:

        def create(name: str) -> _Hashing:
            return _Hashing(stack.enter_context(atomic_file(store / name)))

        files = {f"{name}.npy": create(f"{name}.npy") for name in (*wanted, FRAME_ENDS)}
        files[FRAMES] = create(FRAMES)
        for name, (kind, shape) in {**wanted, FRAME_ENDS: (np.int64, ())}.items():
            write_header(files[f"{name}.npy"], kind, (rows, *shape))
        end = 0
        for path in parts:
            arrays = read_part(path).arrays
            for name, (kind, _) in wanted.items():
                files[f"{name}.npy"].write(np.ascontiguousarray(arrays[name], kind).tobytes())
            ends = end + np.cumsum(arrays[SIZES], dtype=np.int64)
            files[f"{FRAME_ENDS}.npy"].write(ends.tobytes())
            files[FRAMES].write(arrays[PICTURES].tobytes())
            end = int(ends[-1])
        return {name: file.hexdigest() for name, file in files.items()}


def write_header(file: Any, kind: type, shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file to anything with `write`."""
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
