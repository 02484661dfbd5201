"""A further speech feature in a finished store: computed once, clip by clip, beside the arrays that are there."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from conventions.errors import UserError
from conventions.files import sha256_of, write_json
from datamodules.disk import space_on
from datamodules.manifest import MANIFEST, read_whole_manifest
from datamodules.packing import write_header
from datamodules.speech_features import SpeechFeature
from datamodules.speech_loading import load_feature
from datamodules.speech_names import OWN_SPEECH, canonical, speech_file_name
from datamodules.store import INT16_MAX, Store, StoredClip

Progress = Callable[[int, int], None]
"""Called with the clips done and all clips."""


def add_speech(path: Path, name: str, progress: Progress | None = None) -> Store:
    """Add the speech feature `name` (as in `data.speech`) to the store at `path`, and return the store.

    The arrays that exist and the store's hash stay as they are. Rows of clips without sound are zero. Killed at any
    moment, the next call goes on with the first clip that is missing; a feature that is there is left alone, unless
    its weights are others: a UserError.
    """
    store = Store(path)
    if name in OWN_SPEECH:
        return store
    feature, name = load_feature(name), canonical(name)
    held = store.manifest.get("speech", {})
    if name in held:
        if held[name]["digest"] != feature.digest:
            raise UserError(
                f"{path}: holds {name} of other weights (SHA-256 {held[name]['digest'][:16]}, not "
                f"{feature.digest[:16]}); give the folder of the encoder another name"
            )
        return store
    file = speech_file_name(name)
    if any(entry["file"] == file for entry in held.values()):
        raise UserError(f"{path}: another speech feature lies in {file}; give the feature another name")
    with space_on(path):
        _compute(store, feature, path / file, progress)
        entry = {"file": file, "sha256": sha256_of(path / file), "shape": feature.shape, "digest": feature.digest}
        manifest = read_whole_manifest(path)
        write_json(path / MANIFEST, manifest | {"speech": manifest.get("speech", {}) | {name: entry}})
    return Store(path)


def _compute(store: Store, feature: SpeechFeature, file: Path, progress: Progress | None) -> None:
    """Write the rows of all clips to `file`, whole or not at all, from where an earlier call ended."""
    with _partial(store, feature, file) as (partial, header):
        row = feature.width * np.dtype(np.float32).itemsize
        done = (os.fstat(partial.fileno()).st_size - header) // row
        left = [clip for clip in store.clips if clip.start + clip.length > done]
        partial.truncate(header + (left[0].start if left else store.num_frames) * row)
        partial.seek(0, os.SEEK_END)
        for number, clip in enumerate(left, len(store.clips) - len(left) + 1):
            partial.write(_rows(store, clip, feature).tobytes())
            if progress is not None:
                progress(number, len(store.clips))
        partial.flush()
        os.fsync(partial.fileno())
        os.replace(partial.name, file)


@contextmanager
def _partial(store: Store, feature: SpeechFeature, file: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The unfinished file of this feature of this store, with its header, locked; and the header's length in bytes."""
    mark = hashlib.sha256(f"{store.hash} {feature.name} {feature.digest}".encode()).hexdigest()[:16]
    path = store.path / f".{file.name}.{mark}.partial"
    with path.open("ab") as partial:
        try:
            fcntl.flock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{store.path}: another process adds {feature.name} to this store") from error
        if partial.tell() == 0:
            write_header(partial, np.float32, (store.num_frames, *feature.shape))
            partial.flush()
        with path.open("rb") as begun:
            np.lib.format.read_magic(begun)
            np.lib.format.read_array_header_1_0(begun)
            header = begun.tell()
        yield partial, header


def _rows(store: Store, clip: StoredClip, feature: SpeechFeature) -> np.ndarray:
    """A clip's feature, float32; UserError where the feature is not of the shape it states."""
    if not clip.has_audio:
        return np.zeros((clip.length, *feature.shape), np.float32)
    waveform = np.asarray(store.audio[clip.rows], np.float32).reshape(-1) / INT16_MAX
    rows = np.ascontiguousarray(feature(waveform, clip.length), np.float32)
    if rows.shape != (clip.length, *feature.shape):
        raise UserError(
            f"speech feature {feature.name}: gives {list(rows.shape)} for {clip.length} frames of {clip.id}, "
            f"not {[clip.length, *feature.shape]}"
        )
    if not np.isfinite(rows).all():
        raise UserError(f"speech feature {feature.name}: gives values that are not finite for {clip.id}")
    return rows
