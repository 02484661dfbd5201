"""The packed store: every prepared clip of a data set in memory-mapped files.

A store is a folder with `manifest.json`, an index of all clips and a report (`datamodules.packing`), and one folder for
each actor (`datamodules.shards`). It is complete exactly when the manifest is there. Rows are video frames of all
clips, one after another in the order of the shards and of the clips in each.
"""

import functools
import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from conventions.errors import UserError
from conventions.files import reason_of, sha256_of
from conventions.rates import MFCC_COEFFICIENTS, MFCC_WINDOW, VIDEO_FPS
from datamodules.arrays import ARRAYS, EXACT, FRAME_ENDS, FRAMES, INT16_MAX, Form, Rows
from datamodules.audio import windows_of
from datamodules.clips import Clips, StoredClip
from datamodules.config import OWN_SPEECH, SpeechForm, canonical
from datamodules.manifest import MANIFEST, content_hash, read_whole_manifest, speech_entry
from datamodules.offsets import NEAR
from datamodules.packing import index_name, index_of, read_index
from datamodules.shards import SHARD, SHARDS, read_shard

__all__ = ["ARRAYS", "INT16_MAX", "Clips", "Store", "StoredClip", "describe"]

OPEN_FILES = 4096
"""Files of shards that are kept mapped into memory."""


class Store:
    """A packed store, opened for reading. Opening it, copying its folder and passing it to a worker process are cheap.

    Args:
        path: folder that `prepare` wrote.

    Raises:
        UserError: the folder holds no complete store.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = read_whole_manifest(self.path)
        columns = read_index(self.path / self.manifest["index"])
        self.clips = Clips(columns)
        shards = self.manifest["shards"]
        self._names = list(shards)
        self._clip_bounds = np.cumsum([0, *(shard["clips"] for shard in shards.values())])
        self._row_bounds = np.cumsum([0, *(shard["frames"] for shard in shards.values())])
        if len(columns) != self._clip_bounds[-1] or (columns.starts[self._clip_bounds] != self._row_bounds).any():
            raise UserError(f"{self.path / self.manifest['index']}: is not of these shards: prepare the store again")
        self._opened = functools.lru_cache(OPEN_FILES)(self._open)
        self._speech: dict[str, Rows] = {}

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        return Store, (self.path,)

    @property
    def hash(self) -> str:
        """SHA-256 of the content: labels, arrays and images, without paths and times."""
        return self.manifest["hash"]

    @property
    def size(self) -> int:
        """Side of the stored images in pixels."""
        return self.manifest["size"]

    @property
    def coefficient_model(self) -> str | None:
        """Name of the morphable model of the coefficients; None where no clip has any."""
        return self.manifest["coefficient_model"]

    @property
    def sound_offsets(self) -> dict[str, float]:
        """Seconds by which the audio of a source file begins after its video, by clip, where it was measured.

        The stored audio is aligned already.
        """
        return self._measured("sound_offset")

    @property
    def row_offsets(self) -> dict[str, int]:
        """Rows by which the coefficient file of a clip begins late, by clip, where it has not one row for each frame.

        The stored coefficients are aligned already.
        """
        return {name: int(value) for name, value in self._measured("row_offset").items()}

    @property
    def mouth_lags(self) -> dict[str, int]:
        """Frames by which the audio of a clip comes after its mouth, by clip, where the measurement was clear.

        Where it is more than `offsets.NEAR` frames, the stored audio is aligned with the mouth.
        """
        return {name: int(value) for name, value in self._measured("mouth_lag").items()}

    def _measured(self, name: str) -> dict[str, float]:
        columns = self.clips.columns
        values: np.ndarray = getattr(columns, name)
        return {columns.id[number]: float(values[number]) for number in np.flatnonzero(~np.isnan(values)).tolist()}

    @functools.cached_property
    def _report(self) -> dict[str, Any]:
        path = self.path / self.manifest["report"]
        try:
            report = json.loads(path.read_text("utf-8"))
            left_out = [{name: str(item[name]) for name in ("path", "reason", "detail")} for item in report["left_out"]]
            return {"left_out": left_out, "notes": {name: list(lines) for name, lines in report["notes"].items()}}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({reason_of(error)}): prepare the store again") from error

    @property
    def left_out(self) -> list[dict[str, str]]:
        """Path, reason and detail of each file that is not in the store."""
        return self._report["left_out"]

    @property
    def notes(self) -> dict[str, list[str]]:
        """What was repaired in the files of a clip, by clip: gaps, channels that cancel, frames out of order."""
        return self._report["notes"]

    @property
    def num_frames(self) -> int:
        """Frames of all clips."""
        return self.manifest["frames"]

    @property
    def has_exact(self) -> bool:
        """Whether the store also has the exact 3DMM vectors that its clips were rendered from."""
        return all(shard["exact"] for shard in self.manifest["shards"].values())

    def _open(self, shard: int, name: str, form: Form) -> np.ndarray:
        """The memory-mapped array of a shard."""
        path = self.path / SHARDS / self._names[shard] / name
        try:
            array = np.memmap(path, np.uint8, "r") if name == FRAMES else np.load(path, "r", allow_pickle=False)
        except Exception as error:  # NumPy's reader of headers raises whatever the damage leads to
            raise UserError(f"{path}: cannot be read ({reason_of(error)}): prepare the store again") from error
        clips, frames = np.diff(self._clip_bounds)[shard], np.diff(self._row_bounds)[shard]
        rows = frames + 2 * form.margin * clips
        if name != FRAMES and (array.dtype != form.kind or array.shape != (rows, *form.shape)):
            raise UserError(f"{path}: holds {array.dtype} {array.shape}: prepare the store again")
        return array

    def _rows(self, file: str, form: Form) -> Rows:
        def read(shard: int, first: int, last: int) -> np.ndarray:
            return self._opened(shard, file, form)[first:last]

        return Rows(self._row_bounds, read, form.kind, form.shape)

    def _array(self, name: str) -> Rows:
        return self._rows(f"{name}.npy", ARRAYS[name])

    @functools.cached_property
    def coefficients(self) -> Rows:
        """3DMM vectors as they were measured, float32 [n, 257]."""
        return self._array("coefficients")

    @functools.cached_property
    def exact(self) -> Rows:
        """The 3DMM vectors that the clips were rendered from, float32 [n, 257]; else the measured ones."""
        return self._rows(f"{EXACT}.npy", ARRAYS["coefficients"]) if self.has_exact else self.coefficients

    def coefficients_of(self, kind: str) -> Rows:
        """3DMM vectors by the name that `data.coefficients` gives them.

        Args:
            kind: "measured" or "exact".

        Returns:
            float32 [n, 257].

        Raises:
            UserError: "exact" where the store has measured ones only.
        """
        if kind == EXACT and not self.has_exact:
            raise UserError(f"data.coefficients: exact: {self.path} has measured coefficients only")
        return self.exact if kind == EXACT else self.coefficients

    @functools.cached_property
    def placement(self) -> Rows:
        """(scale, x, y) of the camera frame inside the crop, float32 [n, 3]."""
        return self._array("placement")

    @functools.cached_property
    def mfcc(self) -> Rows:
        """MFCC windows, unnormalised, float32 [n, 28, 13]: views of the stored steps."""
        form, starts = ARRAYS["mfcc"], self.clips.columns.starts

        def read(clip: int, first: int, last: int) -> np.ndarray:
            shard = int(np.searchsorted(self._clip_bounds, clip, "right")) - 1
            before = 2 * form.margin * int(clip - self._clip_bounds[shard])
            begin = int(starts[clip] - self._row_bounds[shard]) + before
            steps = self._opened(shard, "mfcc.npy", form)[begin + first : begin + last + 2 * form.margin]
            return windows_of(steps)

        return Rows(starts, read, form.kind, (MFCC_WINDOW, MFCC_COEFFICIENTS))

    @functools.cached_property
    def mel(self) -> Rows:
        """Log-mel in dB, four columns for each frame, float32 [n, 4, 80]."""
        return self._array("mel")

    def speech_form(self, name: str) -> SpeechForm:
        """What a frame of a speech feature is.

        Args:
            name: the feature, as in `data.speech`.

        Returns:
            Its name, shape and digest.

        Raises:
            UserError: the store does not have this feature.
        """
        if name in OWN_SPEECH:
            return SpeechForm(name, getattr(self, name).shape[1:])
        entry = speech_entry(self.path, self.manifest, name)
        return SpeechForm(canonical(name), tuple(entry["shape"]), entry["digest"])

    def speech(self, name: str) -> Rows:
        """A speech feature of every frame; rows of clips without audio have no meaning.

        Args:
            name: the feature, as in `data.speech`.

        Returns:
            float32 [n, *shape].

        Raises:
            UserError: the store does not have this feature.
        """
        if name in OWN_SPEECH:
            return getattr(self, name)
        if name not in self._speech:
            entry = speech_entry(self.path, self.manifest, name)
            self._speech[name] = self._rows(entry["file"], Form(np.float32, tuple(entry["shape"])))
        return self._speech[name]

    @functools.cached_property
    def landmarks(self) -> Rows:
        """iBUG landmarks in normalised coordinates of the crop, float32 [n, 68, 2]."""
        return self._array("landmarks")

    @functools.cached_property
    def audio(self) -> Rows:
        """16 kHz mono, int16 [n, 640]: the audio of each frame."""
        return self._array("audio")

    def frames(
        self, clip: StoredClip, indices: Iterable[int], size: int | None = None
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Images of a clip.

        Args:
            clip: a clip of this store with video.
            indices: frame numbers in 0 .. length - 1.
            size: wanted side in pixels, at most that of the store; smaller images are resampled with antialiasing.

        Returns:
            RGB images.

        Raises:
            UserError: `size` is larger than the store's, or an image is damaged.
            IndexError: the clip has no such frame.
        """
        if size is not None and size > self.size:
            raise UserError(
                f"{self.path}: has images of {self.size} px, {size} px are needed: prepare it with --size {size}"
            )
        return np.stack([self._frame(clip.start + self._checked(clip, index), size or self.size) for index in indices])

    def _checked(self, clip: StoredClip, index: int) -> int:
        if not 0 <= index < clip.length:
            raise IndexError(f"{clip.id} has {clip.length} frames, not a frame {index}")
        return int(index)

    def _frame(self, row: int, size: int) -> np.ndarray:
        shard = int(np.searchsorted(self._row_bounds, row, "right")) - 1
        place = row - int(self._row_bounds[shard])
        ends = self._opened(shard, f"{FRAME_ENDS}.npy", Form(np.int64, ()))
        begin, end = (int(ends[place - 1]) if place else 0), int(ends[place])
        pictures = self._opened(shard, FRAMES, Form(np.uint8, ()))
        try:
            picture = Image.open(io.BytesIO(pictures[begin:end].tobytes()), formats=("JPEG",))
            if size < self.size:
                picture.draft("RGB", (size, size))
                picture = picture.resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(picture)
        except (OSError, ValueError, SyntaxError) as error:
            file = self.path / SHARDS / self._names[shard] / FRAMES
            raise UserError(f"{file}: image {place} is damaged: prepare the store again") from error

    def damaged(self) -> list[str]:
        """Names of the files whose content has changed since they were written; [] for an intact store."""
        found = {name: read_shard(self.path / SHARDS / name) for name in self._names}
        damaged = [f"{SHARDS}/{name}/{SHARD}" for name, shard in found.items() if shard is None]
        shards = [shard for shard in found.values() if shard is not None]
        damaged += [f"{SHARDS}/{shard.name}/{file}" for shard in shards for file in shard.damaged()]
        for entry in self.manifest.get("speech", {}).values():
            files = {f"{SHARDS}/{shard}/{entry['file']}": expected for shard, expected in entry["shards"].items()}
            damaged += [file for file, expected in files.items() if not _is_whole(self.path / file, expected)]
        hashes = [shard["hash"] for shard in self.manifest["shards"].values()]
        whole = len(shards) == len(hashes)
        if content_hash(self.manifest) != self.hash or (whole and hashes != [shard.hash for shard in shards]):
            damaged.append(MANIFEST)
        index = self.manifest["index"]
        if index_name((self.path / index).read_bytes()) != index or (whole and index_name(index_of(shards)) != index):
            damaged.append(index)
        return damaged

    def verify(self) -> None:
        """Read every byte of the store.

        Raises:
            UserError: some files have changed since they were written; the message names them.
        """
        if damaged := self.damaged():
            raise UserError(f"{self.path}: damaged: {', '.join(damaged)}: prepare the store again")


def _is_whole(path: Path, expected: str) -> bool:
    return path.is_file() and sha256_of(path) == expected


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return dict(sorted(Counter(map(str, values)).items()))


def _offsets_ms(store: Store) -> dict[str, int | float]:
    """How many image-audio offsets were measured, and their least, middle and greatest in ms."""
    values = sorted(1000 * offset for offset in store.sound_offsets.values())
    spread = {"least": values[0], "median": values[len(values) // 2], "greatest": values[-1]} if values else {}
    return {"measured": len(values), **{name: round(value, 2) for name, value in spread.items()}}


def describe(store: Store) -> dict[str, Any]:
    """What a store holds, as plain JSON: counts by label, hours, hash and what was left out."""
    frames, clips = store.num_frames, store.clips
    without = {name: len(clips.where(**{name: [False]})) for name in ("has_audio", "has_coefficients", "has_landmarks")}
    return {
        "path": str(store.path),
        "clips": len(clips),
        "frames": frames,
        "hours": round(frames / VIDEO_FPS / 3600, 4),
        "actors": clips.values("actor"),
        "left_out": _counts(item["reason"] for item in store.left_out),
        "hash": store.hash,
        "version": store.manifest["version"],
        "shards": len(store.manifest["shards"]),
        "size": store.size,
        "crop": store.manifest["crop"],
        "coefficient_model": store.coefficient_model,
        "exact_coefficients": store.has_exact,
        "speech": [*OWN_SPEECH, *store.manifest.get("speech", {})],
        "clips_without_audio": without["has_audio"],
        "clips_without_coefficients": without["has_coefficients"],
        "clips_without_landmarks": without["has_landmarks"],
        "audio_offset_ms": _offsets_ms(store),
        "row_offsets": _counts(store.row_offsets.values()),
        "mouth_lags": _counts(store.mouth_lags.values()),
        "audio_moved": {name: lag for name, lag in store.mouth_lags.items() if abs(lag) > NEAR},
        "clips_with_notes": len(store.notes),
        "by_actor": clips.counts("actor"),
        "by_emotion": clips.counts("emotion"),
        "by_level": clips.counts("level"),
        "by_view": clips.counts("view"),
    }
