"""A store small enough to train on in a test: noise of the right shapes, whose loudness and colour follow the style."""

import functools
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from conventions.emotions import EMOTIONS, Style
from datamodules.audio import MFCC_MARGIN
from datamodules.config import DataConfig
from datamodules.packing import finish
from datamodules.parts import PICTURES, SIZES, Part, read_meta, read_part, write_part
from datamodules.shards import write_shard
from face3d.coefficients import EXPRESSION, NUM_COEFFICIENTS
from face3d.morphable import PROCEDURAL

ACTORS = ("M001", "M002", "W001", "W002")
SPLIT = "name: toy-store\ntrain: [M001, M002]\nval: [W001]\ntest: [W002]\n"
STYLES = (Style("neutral", 1), Style("happy", 1), Style("happy", 3), Style("sad", 2))


def write_store(
    folder: Path,
    frames: int = 12,
    size: int = 32,
    unseen: Sequence[str] = (),
    left_out: Sequence[Mapping[str, str]] = (),
) -> DataConfig:
    """Store and split of four actors (two to train, one to validate, one to test) below `folder`; what reads them.

    Each actor shows `STYLES`; the test actor also shows each unseen emotion at level 2. `left_out`: clips that the
    manifest lists as not used, each with `path`, `reason` and `detail`.
    """
    (folder / "store").mkdir(parents=True)
    (folder / "split.yaml").write_text(SPLIT)
    shown = [(actor, style, "basic") for actor in ACTORS for style in STYLES]
    shown += [(ACTORS[-1], Style(emotion, 2), "new") for emotion in unseen]
    parts = []
    for number, (actor, style, kind) in enumerate(shown):
        path = folder / "parts" / f"{number}.npz"
        path.parent.mkdir(exist_ok=True)
        write_part(path, _part(actor, style, kind, number, frames, size))
        parts.append((path, read_meta(path) or {}))
    shards = []
    for actor in ACTORS:
        sources = [(known, functools.partial(read_part, path)) for path, known in parts if known["actor"] == actor]
        shards.append(write_shard(folder / "store", actor, size, sources))
    finish(folder / "store", shards, size, list(left_out), {})
    return DataConfig(str(folder / "store"), str(folder / "split.yaml"), image_size=size, clip_frames=8)


def _part(actor: str, style: Style, kind: str, number: int, frames: int, size: int) -> Part:
    random = np.random.default_rng(number)
    emotion = EMOTIONS.index(style.emotion) if style.emotion in EMOTIONS else len(EMOTIONS)
    loudness = random.uniform(0, 1, frames)
    coefficients = np.zeros((frames, NUM_COEFFICIENTS), np.float32)
    coefficients[:, EXPRESSION] = 0.1 * random.standard_normal((frames, 64))
    coefficients[:, EXPRESSION.start] += loudness
    coefficients[:, EXPRESSION.start + 1] += 0.2 * emotion * style.level
    pictures = [_jpeg(random, size, emotion, brightness) for brightness in loudness]
    arrays = {
        "coefficients": coefficients,
        "placement": np.tile(np.array([1 / 1.3, 0, 0], np.float32), (frames, 1)),
        "mfcc": _steps(random, loudness),
        "mel": (-60 + 5 * emotion + random.standard_normal((frames, 4, 80))).astype(np.float32),
        "landmarks": random.uniform(-0.5, 0.5, (frames, 68, 2)).astype(np.float32),
        "audio": random.integers(-999, 999, (frames, 640)).astype(np.int16),
        PICTURES: np.frombuffer(b"".join(pictures), np.uint8),
        SIZES: np.array([len(picture) for picture in pictures]),
    }
    identity = f"{actor}_front_{style.emotion}_{style.level}_001"
    meta = {
        "id": identity, "actor": actor, "emotion": style.emotion, "level": style.level, "kind": kind, "view": "front",
        "number": 1, "source": f"{identity}.mp4", "length": frames, "has_audio": True, "has_coefficients": True,
        "has_landmarks": True, "crop": [0.0, 0.0, 1.0], "model": PROCEDURAL, "sound_offset": None, "notes": [],
    }  # fmt: skip
    return Part(meta, arrays)


def _steps(random: np.random.Generator, loudness: np.ndarray) -> np.ndarray:
    padded = np.pad(loudness, MFCC_MARGIN, "edge")[:, None, None]
    return (padded + 0.1 * random.standard_normal((len(padded), 4, 13))).astype(np.float32)


def _jpeg(random: np.random.Generator, size: int, emotion: int, brightness: float) -> bytes:
    pixels = np.full((size, size, 3), 30 + 20 * emotion + 40 * brightness) + random.uniform(0, 20, (size, size, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def contents(store: Path) -> dict[str, str]:
    """SHA-256 of every file of a store."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
