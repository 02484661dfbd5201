"""A further speech feature in a finished store: computed once, clip by clip, beside the arrays of each shard."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from conventions.errors import UserError
from conventions.files import sha256_of, space_on, write_json
from datamodules.arrays import INT16_MAX
from datamodules.config import OWN_SPEECH, canonical, speech_file_name
from datamodules.locks import locked
from datamodules.manifest import MANIFEST
from datamodules.shards import SHARDS, write_header
from datamodules.speech_features import SpeechFeature
from datamodules.speech_loading import load_feature
from datamodules.store import Store, StoredClip

Progress = Callable[[int, int], None]
"""Called with the clips done and all clips."""


def add_speech(path: Path, name: str, progress: Progress | None = None) -> Store:
    """Add the speech feature `name` (as in `data.speech`) to the store at `path`, and return the store.

    The arrays that exist and the store's hash stay as they are. Rows of clips without audio are zero. Killed at any
    moment, the next call goes on with the first clip that is missing; shards that have the feature are left alone,
    unless its weights are others: a UserError.
    """
    store = Store(path)
    if name in OWN_SPEECH:
        return store
    feature, name = load_feature(name), canonical(name)
    entry = _entry(store, feature, name)
    if entry["shards"].keys() == store.manifest["shards"].keys():
        return store
    with space_on(path), locked(path):
        store, done = Store(path), 0
        for shard, facts in store.manifest["shards"].items():
            clips = store.clips[done : done + facts["clips"]]
            if shard not in entry["shards"]:
                file = path / SHARDS / shard / entry["file"]
                _compute(store, clips, feature, file, progress and _from(progress, done, len(store.clips)))
                entry["shards"][shard] = sha256_of(file)
                _write_entry(path, store, name, entry)
            done += facts["clips"]
    return Store(path)


def _entry(store: Store, feature: SpeechFeature, name: str) -> dict[str, Any]:
    """The manifest's entry of a feature as far as the store holds it; UserError where another one is in its place."""
    held = store.manifest.get("speech", {})
    if name in held:
        if held[name]["digest"] != feature.digest:
            raise UserError(
                f"{store.path}: has {name} computed with other weights (SHA-256 {held[name]['digest'][:16]}, not "
                f"{feature.digest[:16]}); give the folder of the encoder another name"
            )
        return held[name]
    file = speech_file_name(name)
    if any(entry["file"] == file for entry in held.values()):
        raise UserError(f"{store.path}: another speech feature is in {file}; give the feature another name")
    return {"file": file, "shape": list(feature.shape), "digest": feature.digest, "shards": {}}


def _write_entry(path: Path, store: Store, name: str, entry: dict[str, Any]) -> None:
    shards = {shard: entry["shards"][shard] for shard in store.manifest["shards"] if shard in entry["shards"]}
    store.manifest["speech"] = store.manifest.get("speech", {}) | {name: {**entry, "shards": shards}}
    write_json(path / MANIFEST, store.manifest)


def _from(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def _compute(
    store: Store, clips: Sequence[StoredClip], feature: SpeechFeature, file: Path, progress: Progress | None
) -> None:
    """Write the rows of a shard's clips to `file`, whole or not at all, from where an earlier call ended."""
    frames, first = sum(clip.length for clip in clips), clips[0].start
    with _partial(store, feature, file, frames) as (partial, header):
        row = feature.width * np.dtype(np.float32).itemsize
        done = (os.fstat(partial.fileno()).st_size - header) // row
        left = [clip for clip in clips if clip.start - first + clip.length > done]
        partial.truncate(header + (left[0].start - first if left else frames) * row)
        partial.seek(0, os.SEEK_END)
        for number, clip in enumerate(left, len(clips) - len(left) + 1):
            partial.write(_rows(store, clip, feature).tobytes())
            if progress is not None:
                progress(number, len(clips))
        partial.flush()
        os.fsync(partial.fileno())
        os.replace(partial.name, file)


@contextmanager
def _partial(store: Store, feature: SpeechFeature, file: Path, frames: int) -> Iterator[tuple[BinaryIO, int]]:
    """The unfinished file of this feature of a shard, with its header; and the header's length in bytes."""
    mark = hashlib.sha256(f"{store.hash} {feature.name} {feature.digest}".encode()).hexdigest()[:16]
    path = file.with_name(f".{file.name}.{mark}.partial")
    with path.open("ab") as partial:
        if partial.tell() == 0:
            write_header(partial, np.float32, (frames, *feature.shape))
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
