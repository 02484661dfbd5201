"""Batches from a store: reading, padding and stacking what the samplers drew."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS, STYLES, Style
from conventions.rates import FRAMES_PER_WINDOW, SAMPLES_PER_FRAME
from datamodules.arrays import Rows
from datamodules.audio import MEL_FLOOR_DB
from datamodules.batches import AMEBatch, Batch, EACBatch, EACSoundBatch, HEFBatch, HEFSoundBatch
from datamodules.clips import Clips, StoredClip
from datamodules.sampling import SameActorPairs, Sampler, StyleBalanced, generator, stretch, stretch_about
from datamodules.store import INT16_MAX, Store


def tensor(rows: np.ndarray) -> Tensor:
    """A copy of memory-mapped rows as float32 tensor."""
    return torch.from_numpy(np.array(rows, np.float32))


def columns(rows: np.ndarray) -> Float[Tensor, "n d"]:
    """Rows [t, d], or rows [t, s, d] of s columns each, as columns one after another."""
    return tensor(rows.reshape(-1, rows.shape[-1]))


def pictures(store: Store, clip: StoredClip, indices: Iterable[int], size: int) -> Float[Tensor, "n 3 s s"]:
    """Images of a clip, RGB in [-1, 1]."""
    pixels = torch.from_numpy(store.frames(clip, indices, size))
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)


def labels(clip: StoredClip) -> tuple[int, int, int]:
    """(emotion, level, style) as class indices; -1 where the clip has no such label, level 0 where it has none."""
    emotion = EMOTIONS.index(clip.emotion) if clip.emotion in EMOTIONS else -1
    style = Style(clip.emotion or "", clip.level or 0)
    return emotion, clip.level or 0, STYLES.index(style) if style in STYLES else -1


def _label_tensors(clips: Sequence[StoredClip]) -> dict[str, Tensor]:
    columns = torch.tensor([labels(clip) for clip in clips], dtype=torch.int64).T.contiguous()
    return dict(zip(("emotion", "level", "style"), columns, strict=True))


def _pad(rows: np.ndarray, length: int, value: float = 0.0) -> Tensor:
    """Rows as tensor, filled up to `length` rows with `value`."""
    result = torch.full((length, *rows.shape[1:]), value)
    result[: len(rows)] = tensor(rows)
    return result


@dataclass(frozen=True)
class _Maker(ABC):
    """Makes batch number `step`; picklable, so that worker processes can do it."""

    store: Store
    sampler: Sampler
    batch_size: int
    seed: int
    rank: int
    frames: int
    size: int
    speech: str
    coefficients: str
    voice: str
    sound: bool = False
    """Whether the batches hold the audio itself."""

    @classmethod
    def sampler_of(cls, clips: Clips) -> Sampler:
        """What draws the material of each batch; it is built once."""
        return StyleBalanced(clips)

    @abstractmethod
    def __call__(self, step: int) -> Batch:
        """Batch number `step`."""

    def _random(self, step: int) -> np.random.Generator:
        return generator(self.seed, step, self.rank)

    def _stretches(self, step: int) -> tuple[list[StoredClip], list[slice], Tensor, Tensor]:
        """Clips, the rows of a stretch of each, one image of those that have some, and its number in each."""
        random = self._random(step)
        clips = self.sampler.draw(random, self.batch_size)
        spans = [stretch(random, clip, self.frames) for clip in clips]
        rows = [slice(c.start + first, c.start + first + n) for c, (first, n) in zip(clips, spans, strict=True)]
        places = [int(random.integers(count)) for _, count in spans]
        shown = [place for place, clip in enumerate(clips) if clip.has_pictures]
        images = [pictures(self.store, clips[i], [spans[i][0] + places[i]], self.size) for i in shown]
        empty = torch.zeros(0, 3, self.size, self.size)
        return clips, rows, torch.cat([empty, *images]), torch.tensor(places)

    def _voices(self, rows: Sequence[slice]) -> Tensor:
        features, silence = self.store.speech(self.voice), MEL_FLOOR_DB if self.voice == "mel" else 0.0
        length = self.frames * self._columns
        padded = [_pad(features[r].reshape(-1, features.shape[-1]), length, silence) for r in rows]
        return torch.stack(padded) if padded else torch.zeros(0, length, features.shape[-1])

    @property
    def _columns(self) -> int:
        """Columns of `voice` for each video frame."""
        return math.prod(self.store.speech_form(self.voice).shape[:-1])

    def _sounds(self, rows: Sequence[slice], frames: int) -> Float[Tensor, "n samples"]:
        """16 kHz audio of some rows in [-1, 1], filled up with silence."""
        return torch.stack([_pad(self.store.audio[r], frames).flatten() for r in rows]) / INT16_MAX

    def _mask(self, rows: Sequence[slice], steps: int = 1) -> Tensor:
        lengths = torch.tensor([(r.stop - r.start) * steps for r in rows], dtype=torch.int64)
        return torch.arange(self.frames * steps)[None] < lengths[:, None]


class _AME(_Maker):
    def __call__(self, step: int) -> AMEBatch:
        clips, rows, image, _ = self._stretches(step)
        heard = [place for place, clip in enumerate(clips) if clip.has_audio]
        shown = [place for place, clip in enumerate(clips) if clip.has_pictures]
        rows = [rows[place] for place in heard]
        return AMEBatch(
            image=image,
            voice=self._voices(rows),
            voice_mask=self._mask(rows, self._columns),
            image_rows=torch.tensor(shown, dtype=torch.int64),
            voice_rows=torch.tensor(heard, dtype=torch.int64),
            **_label_tensors(clips),
        )


class _EAC(_Maker):
    def __call__(self, step: int) -> EACBatch:
        clips, rows, image, shown = self._stretches(step)
        store, frames, speech = self.store, self.frames, self.store.speech(self.speech)
        vectors = store.coefficients_of(self.coefficients)
        batch = EACBatch(
            speech=torch.stack([_pad(speech[r], frames) for r in rows]),
            mask=self._mask(rows),
            coefficients=torch.stack([_pad(vectors[r], frames) for r in rows]),
            placement=torch.stack([_pad(store.placement[r], frames) for r in rows]),
            image=image,
            shown=shown,
            voice=self._voices(rows),
            **_label_tensors(clips),
        )
        return EACSoundBatch(**vars(batch), sound=self._sounds(rows, frames)) if self.sound else batch


class _HEF(_Maker):
    @classmethod
    def sampler_of(cls, clips: Clips) -> Sampler:
        """Pairs of frames of one actor."""
        return SameActorPairs(clips)

    def __call__(self, step: int) -> HEFBatch:
        random = self._random(step)
        pairs = self.sampler.draw(random, self.batch_size)
        sources = [(pair.source, pair.source_index) for pair in pairs]
        targets = [(pair.target, pair.target_index) for pair in pairs]
        vectors = self.store.coefficients_of(self.coefficients)
        batch = HEFBatch(
            source=self._images(sources),
            target=self._images(targets),
            source_coefficients=self._rows(vectors, sources),
            target_coefficients=self._rows(vectors, targets),
            source_placement=self._rows(self.store.placement, sources),
            target_placement=self._rows(self.store.placement, targets),
            **_label_tensors([pair.target for pair in pairs]),
        )
        return HEFSoundBatch(**vars(batch), **self._heard(random, targets)) if self.sound else batch

    def _heard(self, random: np.random.Generator, frames: Sequence[tuple[StoredClip, int]]) -> dict[str, Tensor]:
        """What `HEFSoundBatch` adds: the voice about each frame, and the audio of the window that begins there."""
        spans = [stretch_about(random, clip, index, self.frames) for clip, index in frames]
        rows = [
            slice(clip.start + first, clip.start + first + count * clip.has_audio)
            for (clip, _), (first, count) in zip(frames, spans, strict=True)
        ]
        return {
            "voice": self._voices(rows),
            "voice_mask": self._mask(rows, self._columns),
            "sound": torch.stack([self._around_window(clip, index) for clip, index in frames]),
            "window": torch.tensor([clip.has_audio and clip.length >= FRAMES_PER_WINDOW for clip, _ in frames]),
        }

    def _around_window(self, clip: StoredClip, index: int) -> Float[Tensor, "4480"]:
        """Audio of a window with a frame on either side; silence beyond the clip, and where it has none."""
        first, last = max(0, index - 1), min(clip.length, index + FRAMES_PER_WINDOW + 1)
        frames = torch.zeros(FRAMES_PER_WINDOW + 2, SAMPLES_PER_FRAME)
        if clip.has_audio:
            known = tensor(self.store.audio[clip.start + first : clip.start + last]) / INT16_MAX
            frames[first - index + 1 : last - index + 1] = known
        return frames.flatten()

    def _images(self, frames: Sequence[tuple[StoredClip, int]]) -> Tensor:
        return torch.cat([pictures(self.store, clip, [index], self.size) for clip, index in frames])

    def _rows(self, array: Rows, frames: Sequence[tuple[StoredClip, int]]) -> Tensor:
        return torch.stack([tensor(array[clip.start + index]) for clip, index in frames])


_MAKERS: dict[str, type[_Maker]] = {"ame": _AME, "eac": _EAC, "hef": _HEF}


def maker(
    view: str,
    store: Store,
    clips: Clips,
    batch_size: int,
    seed: int,
    rank: int = 0,
    frames: int = 25,
    size: int = 64,
    speech: str = "mfcc",
    sampler: Sampler | None = None,
    coefficients: str = "measured",
    voice: str = "mel",
    sound: bool = False,
) -> Callable[[int], Batch]:
    """The function from a batch's number to the batch of a view; `sampler` in place of the view's own."""
    kind = _MAKERS[view]
    drawn = sampler or kind.sampler_of(clips)
    return kind(store, drawn, batch_size, seed, rank, frames, size, speech, coefficients, voice, sound)
