"""Shards: folders of a store that hold all clips of an actor, finished by rename and never changed.

`shards/NAME/` holds `shard.json`, one `.npy` for each array of `ARRAYS` (rows = video frames of the clips, one after
another), `frames.bin` (JPEG images) and `frame_ends.npy` (where each image ends). NAME ends in the content hash.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from conventions.files import sha256_of, write_json
from datamodules.arrays import ARRAYS, EXACT, FRAME_ENDS, FRAMES, Form
from datamodules.crop import CROP
from datamodules.manifest import VERSION
from datamodules.parts import OF_THE_SOURCE, PICTURES, SIZES, Part, digest

SHARDS, SHARD = "shards", "shard.json"
UNLABELLED = "plain"
"""Source of clips that have no actor: they share a number of shards."""
UNLABELLED_SHARDS = 256


def group_of(actor: str, source: str) -> str:
    """The clips of one group share a shard: those of an actor, or a share of those that have none."""
    return actor if source != UNLABELLED else f"unlabelled {int(digest(actor)[:8], 16) % UNLABELLED_SHARDS:02x}"


@dataclass(frozen=True)
class Shard:
    """A finished shard."""

    path: Path
    group: str
    size: int
    clips: list[dict[str, Any]]
    """Of each clip a `StoredClip`'s fields but `start`."""
    origin: list[dict[str, Any]]
    """Of each clip the fields of `OF_THE_SOURCE`."""
    files: dict[str, str]
    """SHA-256 of each file by name."""

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 over labels, arrays and images, but no path and no time."""
        content = {"version": VERSION, "size": self.size, "crop": CROP, "clips": self.clips, "files": self.files}
        return digest(content)

    @property
    def name(self) -> str:
        """A folder name that any file system takes."""
        readable = re.sub(r"[^A-Za-z0-9._-]", "_", self.group)[:40].strip(".")
        return f"{readable}-{self.hash[:16]}"

    @property
    def frames(self) -> int:
        """Frames of its clips."""
        return sum(clip["length"] for clip in self.clips)

    @property
    def forms(self) -> dict[str, Form]:
        """Its arrays by name."""
        return forms(f"{EXACT}.npy" in self.files)

    @functools.cached_property
    def entries(self) -> list[dict[str, Any]]:
        """All that is known of each clip."""
        return [{**clip, **origin} for clip, origin in zip(self.clips, self.origin, strict=True)]

    def source(self, number: int) -> "Source":
        """A clip as the part from which it was written."""
        return self.entries[number], functools.partial(self._part, number)

    def _part(self, number: int) -> Part:
        first = sum(clip["length"] for clip in self.clips[:number])
        count = self.clips[number]["length"]
        ends = self._rows(FRAME_ENDS)
        begin, cut = int(ends[first - 1]) if first else 0, np.array(ends[first : first + count])
        arrays = {
            PICTURES: np.fromfile(self.path / FRAMES, np.uint8, int(cut[-1]) - begin, offset=begin),
            SIZES: np.diff(cut, prepend=begin),
        }
        for name, form in self.forms.items():
            before = first + 2 * form.margin * number
            arrays[name] = np.array(self._rows(name)[before : before + count + 2 * form.margin])
        return Part(self.entries[number], arrays)

    def _rows(self, name: str) -> np.ndarray:
        return np.load(self.path / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def damaged(self) -> list[str]:
        """Names of the files whose bytes are not those that were written."""
        return [
            name
            for name, expected in self.files.items()
            if not (self.path / name).is_file() or sha256_of(self.path / name) != expected
        ]


Source = tuple[dict[str, Any], Callable[[], Part]]
"""What is known of a clip, and its part."""


def read_shard(path: Path) -> Shard | None:
    """The shard in a folder; None where there is none that this version can read."""
    try:
        content = json.loads((path / SHARD).read_text("utf-8"))
        shard = Shard(path, *(content[name] for name in ("group", "size", "clips", "origin", "files")))
        return shard if content["version"] == VERSION and shard.name == path.name else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def finished_shards(store: Path) -> list[Shard]:
    """All finished shards in a store's folder, those that its manifest does not name included."""
    folder = store / SHARDS
    found = (read_shard(folder / name) for name in sorted(os.listdir(folder))) if folder.is_dir() else ()
    return [shard for shard in found if shard is not None]


def write_shard(store: Path, group: str, size: int, sources: Sequence[Source]) -> Shard:
    """Write the clips of a group in one pass with bounded memory; the folder gets its name when it is whole."""
    clips = [{k: v for k, v in known.items() if k not in OF_THE_SOURCE} for known, _ in sources]
    origin = [{k: known.get(k) for k in OF_THE_SOURCE} for known, _ in sources]
    partial = store / SHARDS / f".{secrets.token_hex(8)}.partial"
    partial.mkdir(parents=True)
    try:
        arrays = forms(all(item["exact"] for item in origin))
        files = _write_files(partial, arrays, [read for _, read in sources], [clip["length"] for clip in clips])
        shard = Shard(partial, group, size, clips, origin, files)
        return finish_shard(store, shard)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def finish_shard(store: Path, shard: Shard) -> Shard:
    """Give a shard that lies in a folder for the time being its name in a store.

    Where one of the same content is there, what is known of its sources is renewed.
    """
    place = store / SHARDS / shard.name
    content = {"version": VERSION, "group": shard.group, "size": shard.size, "files": shard.files}
    content |= {"clips": shard.clips, "origin": shard.origin}
    if read_shard(place) is None:
        shutil.rmtree(place, ignore_errors=True)
        write_json(shard.path / SHARD, content)
        shard.path.rename(place)
    else:
        write_json(place / SHARD, content)
        shutil.rmtree(shard.path)
    return Shard(place, shard.group, shard.size, shard.clips, shard.origin, shard.files)


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def synced(self) -> str:
        """The SHA-256 of what was written, once it is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._hash.hexdigest()


def forms(exact: bool) -> dict[str, Form]:
    """The arrays of a shard by name."""
    return {**ARRAYS, EXACT: ARRAYS["coefficients"]} if exact else ARRAYS


def _write_files(
    folder: Path, forms: dict[str, Form], parts: Sequence[Callable[[], Part]], lengths: Sequence[int]
) -> dict[str, str]:
    """Write the arrays and images of all parts; SHA-256 of each file by name."""
    rows = sum(lengths)
    with contextlib.ExitStack() as stack:
        names = (*(f"{name}.npy" for name in (*forms, FRAME_ENDS)), FRAMES)
        files = {name: _Hashing(stack.enter_context((folder / name).open("xb"))) for name in names}
        for name, form in forms.items():
            write_header(files[f"{name}.npy"], form.kind, (rows + 2 * form.margin * len(lengths), *form.shape))
        write_header(files[f"{FRAME_ENDS}.npy"], np.int64, (rows,))
        end = 0
        for read in parts:
            arrays = read().arrays
            for name, form in forms.items():
                files[f"{name}.npy"].write(np.ascontiguousarray(arrays[name], form.kind).tobytes())
            ends = end + np.cumsum(arrays[SIZES], dtype=np.int64)
            files[f"{FRAME_ENDS}.npy"].write(ends.tobytes())
            files[FRAMES].write(arrays[PICTURES].tobytes())
            end = int(ends[-1])
        return {name: file.synced() for name, file in files.items()}


def write_header(file: Any, kind: type, shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file to anything with `write`."""
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
