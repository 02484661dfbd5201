"""The packed store: a few memory-mapped files that hold every prepared clip of a data set.

A store is a folder with `manifest.json`, one `.npy` for each array of `ARRAYS` (rows = video frames of all clips, one
after another), `frames.bin` (JPEG pictures) and `frame_ends.npy` (where each picture ends). It is complete exactly when
the manifest is there.
"""

import dataclasses
import functools
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt8
from PIL import Image

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import reason_of, sha256_of
from conventions.rates import (
    MEL_BINS,
    MEL_STEPS_PER_FRAME,
    MFCC_COEFFICIENTS,
    MFCC_WINDOW,
    SAMPLES_PER_FRAME,
    VIDEO_FPS,
)
from datamodules.manifest import MANIFEST, content_hash, read_whole_manifest, speech_entry
from datamodules.speech_names import OWN_SPEECH, SpeechForm, canonical
from face3d.coefficients import NUM_COEFFICIENTS

FRAMES = "frames.bin"
FRAME_ENDS = "frame_ends"

INT16_MAX = 32767
"""Sound in [-1, 1] is stored as integers in -32767 .. 32767."""

ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {
    "coefficients": (np.float32, (NUM_COEFFICIENTS,)),
    "placement": (np.float32, (3,)),
    "mfcc": (np.float32, (MFCC_WINDOW, MFCC_COEFFICIENTS)),
    "mel": (np.float32, (MEL_STEPS_PER_FRAME, MEL_BINS)),
    "landmarks": (np.float32, (68, 2)),
    "audio": (np.int16, (SAMPLES_PER_FRAME,)),
}
"""Type and shape of one row (one video frame) of each array."""

EXACT = "exact"
"""An array of 3DMM vectors beside `coefficients`, in stores whose clips were rendered: what they were rendered from."""


@dataclass(frozen=True)
class StoredClip:
    """One clip of a store. Its rows in every array are `start .. start + length`."""

    id: str
    actor: str
    emotion: str | None
    """None: no label."""
    level: int | None
    kind: StyleKind | None
    view: str
    number: int
    source: str
    start: int
    length: int
    has_audio: bool
    """False: mel, MFCC and audio rows are those of digital silence."""
    has_coefficients: bool
    """False: coefficient rows are zero."""
    has_landmarks: bool
    """False: landmark rows are zero."""
    crop: tuple[float, float, float]
    """Centre x, y and half side of the crop in pixels of the source picture."""

    @property
    def rows(self) -> slice:
        """This clip's rows in every array of the store."""
        return slice(self.start, self.start + self.length)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "StoredClip":
        """The clip that a manifest entry describes."""
        return cls(**{**value, "crop": tuple(value["crop"])})


class Store:
    """A packed store, opened for reading. Cheap to open, to copy to another folder and to hand to a worker process."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = read_whole_manifest(self.path)
        self.clips = [StoredClip.from_json(value) for value in self.manifest["clips"]]
        self._speech: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.path,)

    @property
    def hash(self) -> str:
        """SHA-256 of the content: labels, arrays and pictures, but no path and no time."""
        return self.manifest["hash"]

    @property
    def size(self) -> int:
        """Side of the stored pictures in pixels."""
        return self.manifest["size"]

    @property
    def coefficient_model(self) -> str | None:
        """Name of the morphable model whose coefficients these are, or None where no clip has any."""
        return self.manifest["coefficient_model"]

    @property
    def sound_offsets(self) -> dict[str, float]:
        """Seconds by which the source's sound began after its picture, by clip, where it was measured.

        The stored sound is on the picture's clock already. Stores made before this was recorded hold none.
        """
        return self.manifest.get("sound_offsets", {})

    @property
    def row_offsets(self) -> dict[str, int]:
        """Rows by which a clip's coefficient file began late, by clip, where it had not a row for each frame.

        The stored coefficients are on the picture's clock already.
        """
        return self.manifest.get("row_offsets", {})

    @property
    def notes(self) -> dict[str, list[str]]:
        """What had to be mended in the files of a clip, by clip: gaps, channels that cancel, frames out of order."""
        return self.manifest.get("notes", {})

    @property
    def num_frames(self) -> int:
        """Frames of all clips."""
        return sum(clip.length for clip in self.clips)

    @property
    def has_exact(self) -> bool:
        """Whether the coefficients that the clips were rendered from are known beside the measured ones."""
        return f"{EXACT}.npy" in self.manifest["files"]

    def _array(self, name: str) -> np.ndarray:
        return self._rows(f"{name}.npy", *ARRAYS.get(name, (np.int64, ())))

    def _rows(self, name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
        path = self.path / name
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # NumPy's reader of headers raises whatever the damage leads to
            raise UserError(f"{path}: cannot be read ({reason_of(error)}): prepare the store again") from error
        if array.dtype != kind or array.shape != (self.num_frames, *shape):
            raise UserError(f"{path}: holds {array.dtype} {array.shape}: prepare the store again")
        return array

    @functools.cached_property
    def coefficients(self) -> Float[np.ndarray, "n 257"]:
        """3DMM vectors, as they were measured."""
        return self._array("coefficients")

    @functools.cached_property
    def exact(self) -> Float[np.ndarray, "n 257"]:
        """The 3DMM vectors that the clips were rendered from; the measured ones where these are all there is."""
        return self._rows(f"{EXACT}.npy", *ARRAYS["coefficients"]) if self.has_exact else self.coefficients

    def coefficients_of(self, kind: str) -> Float[np.ndarray, "n 257"]:
        """The vectors that `data.coefficients` names; UserError where the store has no exact ones."""
        if kind == EXACT and not self.has_exact:
            raise UserError(f"data.coefficients: exact: {self.path} holds measured coefficients alone")
        return self.exact if kind == EXACT else self.coefficients

    @functools.cached_property
    def placement(self) -> Float[np.ndarray, "n 3"]:
        """(scale, x, y) of the camera frame inside the crop."""
        return self._array("placement")

    @functools.cached_property
    def mfcc(self) -> Float[np.ndarray, "n 28 13"]:
        """MFCC windows, unnormalised."""
        return self._array("mfcc")

    @functools.cached_property
    def mel(self) -> Float[np.ndarray, "n 4 80"]:
        """Log-mel in dB, four columns for each frame."""
        return self._array("mel")

    def speech_form(self, name: str) -> SpeechForm:
        """What a frame of the speech feature `name` (as in `data.speech`) is; UserError where the store has none."""
        if name in OWN_SPEECH:
            return SpeechForm(name, ARRAYS[name][1])
        entry = speech_entry(self.path, self.manifest, name)
        return SpeechForm(canonical(name), tuple(entry["shape"]), entry["digest"])

    def speech(self, name: str) -> Float[np.ndarray, "n *shape"]:
        """A speech feature by its name as in `data.speech`; rows of clips without sound are of no use."""
        if name not in self._speech:
            file = f"{name}.npy" if name in OWN_SPEECH else speech_entry(self.path, self.manifest, name)["file"]
            self._speech[name] = self._rows(file, np.float32, self.speech_form(name).shape)
        return self._speech[name]

    @functools.cached_property
    def landmarks(self) -> Float[np.ndarray, "n 68 2"]:
        """iBUG landmarks in normalised coordinates of the crop."""
        return self._array("landmarks")

    @functools.cached_property
    def audio(self) -> np.ndarray:
        """int16 [n, 640]: 16 kHz sound, one row for each frame."""
        return self._array("audio")

    @functools.cached_property
    def _ends(self) -> Int64[np.ndarray, " n"]:
        return self._array(FRAME_ENDS)

    @functools.cached_property
    def _pictures(self) -> np.ndarray:
        path = self.path / FRAMES
        try:
            return np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({reason_of(error)}): prepare the store again") from error

    def frames(
        self, clip: StoredClip, indices: Iterable[int], size: int | None = None
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Pictures of a clip by frame number (0 .. length - 1), RGB, shrunk with antialiasing to `size` pixels."""
        if size is not None and size > self.size:
            raise UserError(
                f"{self.path}: holds {self.size} px, {size} px are asked for: prepare it with --size {size}"
            )
        return np.stack([self._frame(clip.start + self._checked(clip, index), size or self.size) for index in indices])

    def _checked(self, clip: StoredClip, index: int) -> int:
        if not 0 <= index < clip.length:
            raise IndexError(f"{clip.id} has {clip.length} frames, not a frame {index}")
        return int(index)

    def _frame(self, row: int, size: int) -> np.ndarray:
        begin, end = (int(self._ends[row - 1]) if row else 0), int(self._ends[row])
        try:
            picture = Image.open(io.BytesIO(self._pictures[begin:end].tobytes()), formats=("JPEG",))
            if size < self.size:
                picture.draft("RGB", (size, size))
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(picture)
        except (OSError, ValueError, SyntaxError) as error:
            raise UserError(f"{self.path / FRAMES}: picture {row} is damaged: prepare the store again") from error

    def packed_pictures(self, clip: StoredClip) -> tuple[np.ndarray, np.ndarray]:
        """A clip's JPEG files end to end, uint8, and the bytes of each, int64 [length]."""
        before = int(self._ends[clip.start - 1]) if clip.start else 0
        ends = np.array(self._ends[clip.rows])
        return np.array(self._pictures[before : ends[-1]]), np.diff(ends, prepend=before)

    def damaged(self) -> list[str]:
        """Names of the files whose bytes are not those that were written; [] for a sound store."""
        added = {entry["file"]: entry["sha256"] for entry in self.manifest.get("speech", {}).values()}
        return [
            name
            for name, expected in {**self.manifest["files"], **added}.items()
            if not (self.path / name).is_file() or sha256_of(self.path / name) != expected
        ]

    def verify(self) -> None:
        """Read every byte; a `UserError` names the files that are not as they were written."""
        damaged = self.damaged()
        if content_hash(self.manifest) != self.manifest["hash"]:
            damaged.append(MANIFEST)
        if damaged:
            raise UserError(f"{self.path}: damaged: {', '.join(damaged)}: prepare the store again")


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def _offsets_ms(store: Store) -> dict[str, int | float]:
    """How many picture-sound offsets were measured, and their least, middle and greatest in ms."""
    values = sorted(1000 * offset for offset in store.sound_offsets.values())
    spread = {"least": values[0], "median": values[len(values) // 2], "greatest": values[-1]} if values else {}
    return {"measured": len(values), **{name: round(value, 2) for name, value in spread.items()}}


def describe(store: Store) -> dict[str, Any]:
    """What a store holds, as plain JSON: counts by label, hours, hash and what was left out."""
    frames = store.num_frames
    return {
        "path": str(store.path),
        "clips": len(store.clips),
        "frames": frames,
        "hours": round(frames / VIDEO_FPS / 3600, 4),
        "actors": sorted({clip.actor for clip in store.clips}),
        "left_out": _counts(item["reason"] for item in store.manifest["left_out"]),
        "hash": store.hash,
        "version": store.manifest["version"],
        "size": store.size,
        "crop": store.manifest["crop"],
        "coefficient_model": store.coefficient_model,
        "exact_coefficients": store.has_exact,
        "speech": [*OWN_SPEECH, *store.manifest.get("speech", {})],
        "clips_without_sound": sum(not clip.has_audio for clip in store.clips),
        "clips_without_coefficients": sum(not clip.has_coefficients for clip in store.clips),
        "clips_without_landmarks": sum(not clip.has_landmarks for clip in store.clips),
        "sound_offset_ms": _offsets_ms(store),
        "row_offsets": _counts(store.row_offsets.values()),
        "clips_with_notes": len(store.notes),
        "by_actor": _counts(clip.actor for clip in store.clips),
        "by_emotion": _counts(clip.emotion for clip in store.clips),
        "by_level": _counts(clip.level for clip in store.clips),
        "by_view": _counts(clip.view for clip in store.clips),
    }


def clip_to_json(clip: StoredClip) -> dict[str, Any]:
    """The manifest entry of a clip."""
    return dataclasses.asdict(clip)
