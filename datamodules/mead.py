"""`MEADDataModule`: endless, exactly resumable batches of a store for training, and whole clips for evaluation."""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from conventions.errors import UserError, nearest
from datamodules import assemble
from datamodules.batches import Batch
from datamodules.config import DataConfig
from datamodules.splits import Role, Split
from datamodules.store import INT16_MAX, Store, StoredClip

View = Literal["ame", "eac", "hef"]


@dataclass(frozen=True)
class ClipItem:
    """A whole clip for evaluation. t frames; pictures RGB in [-1, 1]; sound 16 kHz in [-1, 1]."""

    id: str
    actor: str
    frames: Float[Tensor, "t 3 r r"]
    mfcc: Float[Tensor, "t 28 13"]
    mel: Float[Tensor, "t4 80"]
    audio: Float[Tensor, " samples"]
    coefficients: Float[Tensor, "t 257"]
    placement: Float[Tensor, "t 3"]
    landmarks: Float[Tensor, "t 68 2"]
    emotion: str | None
    level: int | None
    style: int
    """Index in `conventions.emotions.STYLES`; -1 for an unseen style or no label."""


@dataclass(frozen=True)
class Reference:
    """The portrait that stands for an actor: a frame of a neutral clip."""

    image: Float[Tensor, "3 r r"]
    coefficients: Float[Tensor, "257"]
    placement: Float[Tensor, "3"]
    clip: str
    index: int


class _Endless(IterableDataset):
    """Batches `start`, `start + 1`, ...; several workers take turns, so the order does not depend on their number."""

    def __init__(self, make: Callable[[int], Batch], start: int) -> None:
        self._make, self._start = make, start

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(self._make, itertools.count(self._start + first, stride))


def _rank() -> int:
    """This process among those of one training; known from the environment before their group is formed."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else int(os.environ.get("LOCAL_RANK", 0))


class MEADDataModule(pl.LightningDataModule):
    """Batches of one view of a store: "ame", "eac" or "hef".

    Batch k is a pure function of (store, split, seed, k): set `start_step` before fitting to begin at that batch.
    """

    def __init__(
        self, config: DataConfig, view: View, batch_size: int, seed: int = 0, resolution: int | None = None
    ) -> None:
        super().__init__()
        if not config.store:
            raise UserError("data.store: is not set; give the folder that `emospace prepare` wrote")
        self.view: View = view
        self.config, self.batch_size, self.seed = config, batch_size, seed
        self.resolution = resolution or config.image_size
        self.store = Store(config.store)
        self.split = Split.load(config.split)
        self.start_step = 0

    def _clips(self, role: Role, view: View | None = None) -> list[StoredClip]:
        """Clips of a role that hold all that a view needs."""
        clips = [c for c in self.store.clips if c.view in self.config.views and self.split.role(c.actor) == role]
        if view in ("ame", "eac"):
            clips = [clip for clip in clips if clip.has_audio]
        if view in ("eac", "hef"):
            clips = [clip for clip in clips if clip.has_coefficients]
        if view == "ame":
            clips = [clip for clip in clips if clip.emotion is not None]
        return clips

    def train_clips(self, role: Role = "train") -> list[StoredClip]:
        """Clips that this view trains on: basic styles, or unlabelled ones where the view needs no label."""
        clips = [clip for clip in self._clips(role, self.view) if clip.kind in ("basic", None)]
        if not clips:
            needs = {"ame": "sound and a label", "eac": "sound and coefficients", "hef": "coefficients"}[self.view]
            raise UserError(
                f"{self.store.path}: split {self.split.name!r} leaves no {role} clip with {needs}; "
                f"actors of the store: {', '.join(sorted({c.actor for c in self.store.clips}))[:200]}"
            )
        return clips

    def train_dataloader(self) -> DataLoader:
        """Endless batches from `start_step` on, in the order of their numbers."""
        return self.loader("train")

    def loader(self, role: Role) -> DataLoader:
        """Endless batches of the clips of a role ("judge" for the networks that only score)."""
        clips, frames = self.train_clips(role), self.config.clip_frames
        make = assemble.maker(
            self.view, self.store, clips, self.batch_size, self.seed, _rank(), frames, self.resolution
        )
        workers = self.config.workers
        return DataLoader(
            _Endless(make, self.start_step),
            batch_size=None,
            num_workers=workers,
            persistent_workers=False,
            pin_memory=torch.cuda.is_available(),
        )

    def test_clips(self, kind: Literal["basic", "unseen"] = "basic") -> list[StoredClip]:
        """Clips of the test actors: of MEAD's own styles (or unlabelled), or of styles that no training saw."""
        wanted = ("basic", None) if kind == "basic" else ("compound", "new")
        return [clip for clip in self._clips("test") if clip.kind in wanted]

    def val_clips(self) -> list[StoredClip]:
        """Clips of the validation actors, basic styles."""
        return [clip for clip in self._clips("val") if clip.kind in ("basic", None)]

    def clip_item(self, clip: StoredClip) -> ClipItem:
        """A clip with everything that the store knows of it."""
        rows, store = clip.rows, self.store
        audio = np.asarray(store.audio[rows], np.float32).reshape(-1) / INT16_MAX
        return ClipItem(
            id=clip.id,
            actor=clip.actor,
            frames=assemble.pictures(store, clip, range(clip.length), self.resolution),
            mfcc=assemble.tensor(store.mfcc[rows]),
            mel=assemble.tensor(store.mel[rows]).flatten(0, 1),
            audio=torch.from_numpy(audio),
            coefficients=assemble.tensor(store.coefficients[rows]),
            placement=assemble.tensor(store.placement[rows]),
            landmarks=assemble.tensor(store.landmarks[rows]),
            emotion=clip.emotion,
            level=clip.level,
            style=assemble.labels(clip)[2],
        )

    def reference_frame(self, actor: str) -> Reference:
        """The portrait of an actor: the first frame of their first neutral clip, or of their mildest one."""
        clips = [c for c in self.store.clips if c.actor == actor and c.view in self.config.views]
        if not clips:
            actors = {clip.actor for clip in self.store.clips}
            raise UserError(f"{self.store.path}: no clip of actor {actor!r}{nearest(actor, actors)}")
        clip = min(clips, key=lambda c: (c.emotion not in ("neutral", None), c.level or 0, c.id))
        return Reference(
            assemble.pictures(self.store, clip, [0], self.resolution)[0],
            assemble.tensor(self.store.coefficients[clip.start]),
            assemble.tensor(self.store.placement[clip.start]),
            clip.id,
            0,
        )
