"""From finished shards to a store: the index of all clips, the report, and last the manifest.

The index has the columns of the clips in one NumPy file, read whole in milliseconds.
"""

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import reason_of, write_bytes, write_json
from datamodules.arrays import EXACT
from datamodules.clips import Columns, Texts, Words
from datamodules.crop import CROP
from datamodules.manifest import FORMAT, MANIFEST, VERSION, content_hash, read_whole_manifest
from datamodules.parts import digest
from datamodules.shards import SHARDS, Shard

WORDS = ("actor", "emotion", "kind", "view", "source")
FLAGS = ("has_audio", "has_coefficients", "has_landmarks")
_OPTIONAL = ("emotion", "kind")
_NUMBERS: dict[str, type] = {"level": np.int16, "number": np.int64, "length": np.int64, "flags": np.uint8}
_MEASURED = ("sound_offset", "row_offset", "mouth_lag")
"""Columns of seconds, rows or frames that were measured for some clips."""


def columns_of(entries: Sequence[dict[str, Any]]) -> Columns:
    """Columns from the entries of a store's shards, one after another."""
    flags = [sum(entry[name] << bit for bit, name in enumerate(FLAGS)) for entry in entries]
    values: dict[str, list[Any]] = {
        "flags": flags,
        "level": [-1 if e["level"] is None else e["level"] for e in entries],
    }
    for name in ("number", "length"):
        values[name] = [entry[name] for entry in entries]
    measured = {name: [entry.get(name) for entry in entries] for name in _MEASURED}
    columns: dict[str, Any] = {
        **{name: _words([entry[name] for entry in entries]) for name in WORDS},
        **{name: np.array(values[name], kind) for name, kind in _NUMBERS.items()},
        **{name: np.array([np.nan if v is None else v for v in row], float) for name, row in measured.items()},
        "crop": np.array([entry["crop"] for entry in entries], float).reshape(-1, 3),
    }
    return Columns(id=_texts([entry["id"] for entry in entries]), **columns)


def _texts(values: Sequence[str]) -> Texts:
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    ends = np.cumsum([len(value) for value in encoded], dtype=np.int64)
    return Texts(np.frombuffer(b"".join(encoded), np.uint8), ends)


def _words(values: Sequence[str | None]) -> Words:
    found = sorted({value for value in values if value is not None})
    places = {value: code for code, value in enumerate(found)}
    return Words(found, np.array([-1 if value is None else places[value] for value in values], np.int32))


def index_bytes(columns: Columns) -> bytes:
    """The index as the bytes of an `.npz` file: equal bytes for equal clips."""
    arrays: dict[str, np.ndarray] = {}
    for field in fields(columns):
        column = getattr(columns, field.name)
        if isinstance(column, Words):
            arrays[field.name] = column.codes
            column = _texts(column.values)
        if isinstance(column, Texts):
            arrays[f"{field.name}.characters"], arrays[f"{field.name}.ends"] = column
        else:
            arrays[field.name] = column
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_index(path: Path) -> Columns:
    """The columns in an index; a `UserError` where the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return _checked(arrays)
    except Exception as error:  # NumPy's readers raise whatever the damage leads to
        raise UserError(f"{path}: cannot be read ({reason_of(error)}): prepare the store again") from error


def _checked(arrays: dict[str, np.ndarray]) -> Columns:
    """Columns whose types, lengths and values fit together; ValueError or KeyError where they do not."""
    count = len(_array(arrays, "length", np.int64))
    numbers = {name: _array(arrays, name, kind, count) for name, kind in _NUMBERS.items()}
    measured = {name: _array(arrays, name, np.float64, count) for name in _MEASURED}
    ids = _read_texts(arrays, "id", count)
    words = {name: _read_words(arrays, name, count) for name in WORDS}
    crop = arrays["crop"]
    if crop.shape != (count, 3) or crop.dtype != np.float64:
        raise ValueError("crop")
    if (numbers["length"] < 1).any() or (numbers["flags"] >= 1 << len(FLAGS)).any():
        raise ValueError("lengths or flags")
    if not set(words["kind"].values) <= set(get_args(StyleKind)):
        raise ValueError("kind")
    columns: dict[str, Any] = {"crop": crop, **words, **numbers, **measured}
    return Columns(id=ids, **columns)


def _array(arrays: dict[str, np.ndarray], name: str, kind: type, count: int | None = None) -> np.ndarray:
    array = arrays[name]
    if array.dtype != kind or array.ndim != 1 or (count is not None and len(array) != count):
        raise ValueError(name)
    return array


def _read_texts(arrays: dict[str, np.ndarray], name: str, count: int | None = None) -> Texts:
    texts = Texts(_array(arrays, f"{name}.characters", np.uint8), _array(arrays, f"{name}.ends", np.int64, count))
    sizes = np.diff(texts.ends, prepend=0)
    if (sizes < 0).any() or sizes.sum() != len(texts.characters):
        raise ValueError(name)
    texts.characters.tobytes().decode("utf-8", "surrogatepass")
    return texts


def _read_words(arrays: dict[str, np.ndarray], name: str, count: int) -> Words:
    texts, codes = _read_texts(arrays, name), _array(arrays, name, np.int32, count)
    least = -1 if name in _OPTIONAL else 0
    if count and not least <= codes.min() <= codes.max() < len(texts.ends):
        raise ValueError(name)
    return Words([texts[number] for number in range(len(texts.ends))], codes)


def finish(
    store: Path, shards: Sequence[Shard], size: int, left_out: list[dict[str, str]], extra: dict[str, Any]
) -> dict[str, Any]:
    """Make a store of shards that lie in it, and return the manifest, which is written last.

    Until then the store is what it was before; then what it does not name is removed. `extra` goes into the manifest
    beside the content: it takes no part in the content hash. Speech features that were added to a shard stay with it.
    """
    shards = sorted(shards, key=lambda shard: (shard.group, shard.hash))
    check_ids(store, (clip["id"] for shard in shards for clip in shard.clips))
    index = index_of(shards)
    notes = {item["id"]: item["notes"] for shard in shards for item in shard.entries if item["notes"]}
    report = {"left_out": left_out, "notes": notes}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "hash": "",
        "size": size,
        "crop": CROP,
        "coefficient_model": _common_model(shards),
        "clips": sum(len(shard.clips) for shard in shards),
        "frames": sum(shard.frames for shard in shards),
        "shards": {shard.path.name: _facts(shard) for shard in shards},
        "index": index_name(index),
        "report": f"report.{digest(report)[:16]}.json",
        "speech": _kept_speech(store, shards),
        **extra,
    }
    manifest["hash"] = content_hash(manifest)
    write_bytes(store / manifest["index"], index)
    write_json(store / manifest["report"], report)
    write_json(store / MANIFEST, manifest)
    _remove_others(store, manifest)
    return manifest


def _facts(shard: Shard) -> dict[str, Any]:
    return {"hash": shard.hash, "clips": len(shard.clips), "frames": shard.frames, "exact": EXACT in shard.forms}


def index_of(shards: Sequence[Shard]) -> bytes:
    """The index of all clips of shards, in order."""
    return index_bytes(columns_of([entry for shard in shards for entry in shard.entries]))


def index_name(index: bytes) -> str:
    """The file name of an index, which its content gives."""
    return f"clips.{hashlib.sha256(index).hexdigest()[:16]}.npz"


def check_ids(store: Path, ids: Iterable[str]) -> None:
    """UserError where two clips of a store would have one id."""
    if doubles := [name for name, count in Counter(ids).items() if count > 1]:
        raise UserError(f"{store}: {len(doubles)} clips would be in the store twice, for example {doubles[0]}")


def _common_model(shards: Sequence[Shard]) -> str | None:
    """The one face model whose coefficients the clips have."""
    examples = {item["model"]: item["id"] for shard in shards for item in reversed(shard.entries) if item["model"]}
    if len(examples) > 1:
        named = ", ".join(f"{model} ({examples[model]})" for model in sorted(examples))
        raise UserError(f"coefficients of several face models: {named}; prepare them into separate stores")
    return next(iter(examples), None)


def _kept_speech(store: Path, shards: Sequence[Shard]) -> dict[str, Any]:
    """The speech features that were added to these shards before."""
    try:
        held = read_whole_manifest(store).get("speech", {})
    except UserError:
        return {}
    names = {shard.path.name for shard in shards}
    kept = {name: {**e, "shards": {k: v for k, v in e["shards"].items() if k in names}} for name, e in held.items()}
    return {name: entry for name, entry in kept.items() if entry["shards"]}


def _remove_others(store: Path, manifest: dict[str, Any]) -> None:
    """Remove shards, indices and reports that the manifest does not name."""
    for shard in (store / SHARDS).iterdir():
        if shard.name not in manifest["shards"]:
            shutil.rmtree(shard)
    for file in (*store.glob("clips.*.npz"), *store.glob("report.*.json")):
        if file.name not in (manifest["index"], manifest["report"]):
            file.unlink()
