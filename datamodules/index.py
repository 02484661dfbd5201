"""The index of a store: the columns of its clips in one NumPy file, read whole in milliseconds."""

import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import reason_of
from datamodules.clips import Columns, Texts, Words

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
