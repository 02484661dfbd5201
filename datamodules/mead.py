"""`MEADDataModule`: endless, exactly resumable batches of a store for training, and clips for evaluation."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.emotions import EMOTIONS
from conventions.errors import UserError, nearest
from datamodules import assemble
from datamodules.arrays import Rows
from datamodules.batches import EACSoundBatch, Moved, Reenacted
from datamodules.clips import Clips, StoredClip
from datamodules.config import DataConfig, SpeechForm
from datamodules.endless import EndlessData, MakeBatch, item_loader
from datamodules.moments import Statistics, store_statistics
from datamodules.sampling import SameActorPairs
from datamodules.splits import Role, Split
from datamodules.store import INT16_MAX, Store

View = Literal["ame", "eac", "hef"]
VIEWS: tuple[View, ...] = get_args(View)

BASIC = ("basic", None)
"""Kinds of MEAD's own styles, and of clips without a label."""

ORIGIN_BATCHES = 8
"""Training batches whose images `pictures` returns."""


@dataclass(frozen=True)
class ClipItem(Moved):
    """A whole clip of t frames (25 fps), for evaluation; a clip without video has no frames."""

    id: str
    """Name of the clip in its store."""
    actor: str
    """Name of the actor."""
    frames: Float[Tensor, "shown 3 r r"]
    """RGB in [-1, 1]."""
    speech: Float[Tensor, "t *feature"]
    """The speech feature that `data.speech` names; by default MFCC windows [28, 13]."""
    voice: Float[Tensor, "tn d"]
    """What AME reads of the audio (`data.voice`), n columns for each frame; by default log-mel in dB."""
    audio: Float[Tensor, " samples"]
    """16 kHz mono in [-1, 1]."""
    coefficients: Float[Tensor, "t 257"]
    """3DMM vectors that networks receive (`data.coefficients`)."""
    exact: Float[Tensor, "t 257"]
    """3DMM vectors that results are compared with: the exact ones where the store has them, else the measured ones."""
    placement: Float[Tensor, "t 3"]
    """(scale, x, y) of the camera frame inside the crop, in normalised units."""
    landmarks: Float[Tensor, "t 68 2"]
    """The 68 iBUG landmarks, (x, y) in [-1, 1] across the crop."""
    emotion: str | None
    """Name of the emotion; None without a label."""
    level: int | None
    """1..3; None where it is unknown."""
    style: int
    """Index in `conventions.emotions.STYLES`; -1 for an unseen style, an unknown level or no label."""
    has_audio: bool = True
    """Whether the clip has audio."""

    def as_batch(self) -> EACSoundBatch:
        """The whole clip as a batch of one; its image is the middle frame."""
        count, device = len(self.frames), self.frames.device
        emotion = EMOTIONS.index(self.emotion) if self.emotion in EMOTIONS else -1
        labels = (emotion, self.level or 0, self.style)
        emotion, level, style = (torch.tensor([value], device=device) for value in labels)
        return EACSoundBatch(
            speech=self.speech[None],
            mask=torch.ones(1, count, dtype=torch.bool, device=device),
            coefficients=self.coefficients[None],
            placement=self.placement[None],
            image=self.frames[count // 2, None],
            shown=torch.tensor([count // 2], device=device),
            voice=self.voice[None],
            emotion=emotion,
            level=level,
            style=style,
            sound=self.audio[None],
        )


@dataclass(frozen=True)
class Reference:
    """The portrait of an actor: a frame of a neutral clip."""

    image: Float[Tensor, "3 r r"]
    """RGB in [-1, 1]."""
    coefficients: Float[Tensor, "257"]
    """3DMM vector that networks receive."""
    placement: Float[Tensor, "3"]
    """(scale, x, y) of the camera frame inside the crop, in normalised units."""
    clip: str
    """Name of the clip in its store."""
    index: int
    """Number of the frame in the clip."""
    exact: Float[Tensor, "257"] | None = None
    """3DMM vector that the frame was rendered from; None where it is unknown."""

    @property
    def true_coefficients(self) -> Float[Tensor, "257"]:
        """3DMM vector that results are compared with."""
        return self.coefficients if self.exact is None else self.exact


class MEADDataModule(EndlessData):
    """Batches of one view of a store: "ame", "eac" or "hef".

    Args:
        config: the store, the split, and the form of images and stretches.
        view: the stage that receives the batches; AME reads no speech feature, its clips hold MFCC windows.
        batch_size: clips (AME, EAC) or pairs of frames (HEF) in a training batch on each device.
        seed: batch k is a pure function of (store, split, seed, k, rank).
        resolution: side of the images in pixels; by default `config.image_size`.
        val_clips: most clips of the validation actors, evenly taken.
        evaluate_frames: frames of each clip that HEF is validated and tested on.
        unlabelled: share of HEF's training pairs that come from clips without emotion label (see `SameActorPairs`).
        successive: targets of HEF's training pairs that follow each other in a clip (see `SameActorPairs`).
        parts: equal parts into which HEF's module splits a batch; no part cuts such a group of targets.
        sound: whether training batches contain the audio itself (`EACSoundBatch`, `HEFSoundBatch`).

    Raises:
        UserError: no store or no view is given, or the store or the split cannot be read.
    """

    def __init__(
        self,
        config: DataConfig,
        view: View | None = None,
        batch_size: int = 16,
        seed: int = 0,
        resolution: int | None = None,
        val_clips: int = 16,
        evaluate_frames: int = 4,
        unlabelled: float = 0.0,
        successive: int = 1,
        parts: int = 1,
        sound: bool = False,
    ) -> None:
        super().__init__(config.workers)
        if not config.store:
            raise UserError("data.store: is not set; give the folder that `emospace prepare` wrote")
        if view not in VIEWS:
            raise UserError(f"MEADDataModule needs view=: one of {', '.join(VIEWS)}, not {view!r}")
        self.view: View = view
        self.config = dataclasses.replace(config, speech="mfcc") if view == "ame" else config
        self.batch_size, self.seed = batch_size, seed
        self.resolution = resolution or config.image_size
        self.max_val_clips, self.evaluate_frames = val_clips, evaluate_frames
        self.unlabelled, self.successive, self.parts, self.sound = unlabelled, successive, parts, sound
        self.store = Store(config.store)
        self.split = Split.load(config.split)

    def _clips(self, role: Role, view: View | None = None) -> Clips:
        """Clips of a role that hold all that a view needs."""
        clips = self.store.clips.where(view=self.config.views, actor=lambda name: self.split.role(name) == role)
        return clips if view is None else holding(clips, view)

    @property
    def voice_form(self) -> SpeechForm:
        """What a frame of `EACBatch.voice` and `ClipItem.voice` is."""
        return self.store.speech_form(self.config.voice)

    @property
    def speech_form(self) -> SpeechForm:
        """What a frame of `EACBatch.speech` and `ClipItem.speech` is."""
        return self.store.speech_form(self.config.speech)

    def train_clips(self, role: Role = "train") -> Clips:
        """Clips that this view trains on: basic styles, and clips without label where the view needs none.

        Args:
            role: role of the actors in the split.

        Returns:
            Clips that have all that the view needs.

        Raises:
            UserError: there are none.
        """
        clips = self._clips(role, self.view).where(kind=BASIC)
        if not clips:
            needs = {"ame": "a label", "eac": "audio and coefficients", "hef": "coefficients"}[self.view]
            raise UserError(
                f"{self.store.path}: split {self.split.name!r} leaves no {role} clip with {needs}; "
                f"actors of the store: {', '.join(self.store.clips.values('actor'))[:200]}"
            )
        return clips

    def batch_maker(self, role: Role = "train") -> MakeBatch:
        """The training batches as a function.

        Args:
            role: role of the actors in the split.

        Returns:
            A function from the number of a batch to this rank's batch.
        """
        clips = self.train_clips(role)
        return assemble.maker(
            self.view,
            self.store,
            clips,
            self.batch_size,
            self.seed,
            self.rank,
            self.config.clip_frames,
            self.resolution,
            self.config.speech,
            SameActorPairs(clips, self.unlabelled, self.successive, self.parts) if self.view == "hef" else None,
            self.config.coefficients,
            self.config.voice,
            self.sound,
        )

    def val_dataloader(self) -> list[DataLoader]:
        """Clips of the validation actors, as `test_dataloader` yields them; no loader where there are none."""
        clips = evenly(holding(self.val_clips(), self.view), self.max_val_clips)
        return [self._clip_loader(clips)] if clips else []

    def test_dataloader(self) -> list[DataLoader]:
        """Whole clips (`ClipItem`) of the basic styles, then those of unseen styles where the store has any.

        For HEF one loader of `Reenacted` batches, each `evaluate_frames` frames of a clip of a basic style.
        """
        kinds: tuple[Literal["basic", "unseen"], ...] = ("basic",) if self.view == "hef" else ("basic", "unseen")
        groups = [holding(self.test_clips(kind), self.view) for kind in kinds]
        while groups and not groups[-1]:
            groups.pop()
        return [self._clip_loader(clips) for clips in groups]

    def _clip_loader(self, clips: Sequence[StoredClip]) -> DataLoader:
        return item_loader(clips, self.reenactment if self.view == "hef" else self.clip_item)

    def statistics(self) -> Statistics:
        """Mean and deviation of speech feature and expression over the training clips, each style with equal weight."""
        return store_statistics(self.store, self.train_clips(), self.config.speech, self.config.coefficients)

    @property
    def _vectors(self) -> Rows:
        """The coefficients that networks are given."""
        return self.store.coefficients_of(self.config.coefficients)

    def pictures(self) -> Float[Tensor, "n 3 s s"]:
        """Images of the first training batches, the same on every rank; RGB in [-1, 1]."""
        make = dataclasses.replace(self.batch_maker(), rank=0)  # pyright: ignore[reportArgumentType]
        return torch.cat([make(number).image for number in range(ORIGIN_BATCHES)])

    def test_clips(self, kind: Literal["basic", "unseen"] = "basic") -> Clips:
        """Clips of the test actors.

        Args:
            kind: "basic" for MEAD's own styles and clips without label, "unseen" for styles outside every training set.

        Returns:
            The clips, in the store's order.
        """
        return self._clips("test").where(kind=BASIC if kind == "basic" else ("compound", "new"))

    def val_clips(self) -> Clips:
        """Clips of the validation actors, basic styles."""
        return self._clips("val").where(kind=BASIC)

    def clip_item(self, clip: StoredClip) -> ClipItem:
        """Load a clip with everything that the store holds of it.

        Args:
            clip: a clip of this store.

        Returns:
            The clip as tensors on the CPU.
        """
        rows, store = clip.rows, self.store
        audio = np.asarray(store.audio[rows], np.float32).reshape(-1) / INT16_MAX
        return ClipItem(
            id=clip.id,
            actor=clip.actor,
            frames=self._pictures(clip),
            speech=assemble.tensor(store.speech(self.config.speech)[rows]),
            voice=assemble.columns(store.speech(self.config.voice)[rows]),
            audio=torch.from_numpy(audio),
            coefficients=assemble.tensor(self._vectors[rows]),
            exact=assemble.tensor(store.exact[rows]),
            placement=assemble.tensor(store.placement[rows]),
            landmarks=assemble.tensor(store.landmarks[rows]),
            emotion=clip.emotion,
            level=clip.level,
            style=assemble.labels(clip)[2],
            has_audio=clip.has_audio,
        )

    def _pictures(self, clip: StoredClip) -> Float[Tensor, "t 3 r r"]:
        if not clip.has_pictures:
            return torch.zeros(0, 3, self.resolution, self.resolution)
        return assemble.pictures(self.store, clip, range(clip.length), self.resolution)

    def reenactment(self, clip: StoredClip) -> Reenacted:
        """Evenly spaced frames of a clip, to be made from the actor's reference portrait.

        Args:
            clip: a clip of this store with video.

        Returns:
            `evaluate_frames` targets, never the portrait itself, each with the portrait as its source.
        """
        reference = self.reference_frame(clip.actor)
        frames = [i for i in range(clip.length) if (clip.id, i) != (reference.clip, reference.index)]
        picked = [frames[i] for i in np.linspace(0, len(frames) - 1, self.evaluate_frames).round().astype(int)]
        rows, count = [clip.start + index for index in picked], len(picked)
        emotion, level, style = (torch.full((count,), value) for value in assemble.labels(clip))
        return Reenacted(
            source=reference.image.expand(count, -1, -1, -1),
            target=assemble.pictures(self.store, clip, picked, self.resolution),
            source_coefficients=reference.coefficients.expand(count, -1),
            target_coefficients=assemble.tensor(self._vectors[rows]),
            source_placement=reference.placement.expand(count, -1),
            target_placement=assemble.tensor(self.store.placement[rows]),
            emotion=emotion,
            level=level,
            style=style,
            source_exact=reference.true_coefficients.expand(count, -1),
            target_exact=assemble.tensor(self.store.exact[rows]),
        )

    def reference_frame(self, actor: str) -> Reference:
        """The portrait of an actor: the first frame of their first neutral clip, or of the one with the lowest level.

        Args:
            actor: name of an actor of the store.

        Returns:
            The image with its 3DMM vector.

        Raises:
            UserError: the store has no clip of this actor with video.
        """
        clips = self.store.clips.where(actor=[actor], view=self.config.views, has_pictures=[True])
        if not clips:
            raise UserError(
                f"{self.store.path}: no clip of actor {actor!r}{nearest(actor, self.store.clips.values('actor'))}"
            )
        clip = min(clips, key=lambda c: (c.emotion not in ("neutral", None), c.level or 0, c.id))
        return Reference(
            assemble.pictures(self.store, clip, [0], self.resolution)[0],
            assemble.tensor(self._vectors[clip.start]),
            assemble.tensor(self.store.placement[clip.start]),
            clip.id,
            0,
            assemble.tensor(self.store.exact[clip.start]),
        )


def holding(clips: Clips, view: View) -> Clips:
    """Those that have the audio, the coefficients and the label that a view needs."""
    if view == "ame":
        return clips.where(emotion=lambda emotion: emotion is not None)
    if view == "eac":
        clips = clips.where(has_audio=[True])
    return clips.where(has_coefficients=[True])


def evenly(clips: Sequence[StoredClip], count: int) -> list[StoredClip]:
    """At most `count` clips, evenly taken."""
    places = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    return [clips[int(place)] for place in places]
