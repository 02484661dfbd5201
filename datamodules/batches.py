"""One batch type for each module: what the loader hands over and `training_step` receives. All fields are tensors."""

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

M = TypeVar("M", bound="Moved")
B = TypeVar("B", bound="Batch")


@dataclass(frozen=True)
class Moved:
    """Base of what Lightning hands over: its tensors move as one."""

    def to(self: M, device: torch.device | str, non_blocking: bool = False) -> M:
        """The same with every tensor on another device.

        Args:
            device: where the tensors go.
            non_blocking: whether the copy may overlap with other work, as in `Tensor.to`.

        Returns:
            A copy with every tensor on `device`.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        moved = {k: v.to(device, non_blocking=non_blocking) for k, v in values.items() if isinstance(v, Tensor | Moved)}
        return dataclasses.replace(self, **moved)


@dataclass(frozen=True)
class Batch(Moved):
    """Base of the batch types; all fields are tensors."""

    def pin_memory(self: B) -> B:
        """The same batch in page-locked memory (called by the loader for a GPU)."""
        return type(self)(**{field.name: getattr(self, field.name).pin_memory() for field in dataclasses.fields(self)})

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))


@dataclass(frozen=True)
class AMEBatch(Batch):
    """Images and voices of b clips with an emotion; a clip may have only one of the two."""

    image: Float[Tensor, "n 3 s s"]
    """One frame of each clip that has images, RGB in [-1, 1]."""
    voice: Float[Tensor, "m t d"]
    """What `data.voice` names, of a stretch of each clip that has audio; by default log-mel in dB, 10 ms a column."""
    voice_mask: Bool[Tensor, "m t"]
    """True where `voice` is audio, False where it is padding."""
    emotion: Int[Tensor, " b"]
    """Index in `conventions.emotions.EMOTIONS`."""
    level: Int[Tensor, " b"]
    """1..3, or 0 where it is unknown."""
    style: Int[Tensor, " b"]
    """Index in `conventions.emotions.STYLES`; -1 where the level is unknown."""
    image_rows: Int[Tensor, " n"]
    """The clip of each image."""
    voice_rows: Int[Tensor, " m"]
    """The clip of each voice."""

    def __len__(self) -> int:
        return len(self.emotion)


@dataclass(frozen=True)
class EACBatch(Batch):
    """Stretches of speech of t frames (25 fps), with the coefficients measured on their video."""

    speech: Float[Tensor, "b t *feature"]
    """The speech feature of each video frame that `data.speech` names; by default MFCC windows [28, 13]."""
    mask: Bool[Tensor, "b t"]
    """True where a frame belongs to the clip, False where it is padding."""
    coefficients: Float[Tensor, "b t 257"]
    """3DMM vectors."""
    placement: Float[Tensor, "b t 3"]
    """(scale, x, y) of the camera frame inside the stored crop, in normalised units."""
    image: Float[Tensor, "b 3 s s"]
    """One frame of the stretch, RGB in [-1, 1]: the emotion source of Ours-I, and what L_emo compares with."""
    shown: Int[Tensor, " b"]
    """Number of this frame in the stretch."""
    voice: Float[Tensor, "b tn d"]
    """As `AMEBatch.voice`, n columns for each video frame: the emotion source of Ours-A."""
    emotion: Int[Tensor, " b"]
    """Index in `conventions.emotions.EMOTIONS`; -1 where the clip has no label."""
    level: Int[Tensor, " b"]
    """1..3, or 0 where it is unknown."""
    style: Int[Tensor, " b"]
    """Index in `conventions.emotions.STYLES`; -1 for an unknown level or no label."""

    @property
    def voice_mask(self) -> Bool[Tensor, "b tn"]:
        """True where `voice` is audio, False where it is padding."""
        return self.mask.repeat_interleave(self.voice.shape[1] // self.mask.shape[1], dim=1)


@dataclass(frozen=True)
class EACSoundBatch(EACBatch):
    """With the audio itself, for a lip-sync expert."""

    sound: Float[Tensor, "b samples"]
    """16 kHz audio in [-1, 1] of the stretch; 0 where it is padding."""


@dataclass(frozen=True)
class HEFBatch(Batch):
    """Pairs of frames of one actor: the portrait, and the frame to be made from it."""

    source: Float[Tensor, "b 3 r r"]
    """The portrait, RGB in [-1, 1]."""
    target: Float[Tensor, "b 3 r r"]
    """The frame to be made, RGB in [-1, 1]."""
    source_coefficients: Float[Tensor, "b 257"]
    """3DMM vectors of the portraits."""
    target_coefficients: Float[Tensor, "b 257"]
    """3DMM vectors of the frames to be made."""
    source_placement: Float[Tensor, "b 3"]
    """(scale, x, y) of the portrait's camera frame inside the crop, in normalised units."""
    target_placement: Float[Tensor, "b 3"]
    """Likewise of the frame to be made."""
    emotion: Int[Tensor, " b"]
    """The target's, as in `EACBatch`."""
    level: Int[Tensor, " b"]
    """The target's, as in `EACBatch`."""
    style: Int[Tensor, " b"]
    """The target's, as in `EACBatch`."""

    @property
    def true_coefficients(self) -> tuple[Float[Tensor, "b 257"], Float[Tensor, "b 257"]]:
        """Source's and target's, with which results are compared."""
        return self.source_coefficients, self.target_coefficients


@dataclass(frozen=True)
class HEFSoundBatch(HEFBatch):
    """With the audio of each target's clip; silence where it has none."""

    voice: Float[Tensor, "b tn d"]
    """As `AMEBatch.voice`, of a stretch about the target."""
    voice_mask: Bool[Tensor, "b tn"]
    """True where `voice` is audio, False where it is padding."""
    sound: Float[Tensor, "b 4480"]
    """16 kHz audio in [-1, 1] of seven frames, of which the target is the second: those of a window of SyncNet that
    begins there, and one before and after it."""
    window: Bool[Tensor, " b"]
    """Whether the clip has audio, and as many frames as a window."""


@dataclass(frozen=True)
class Reenacted(HEFBatch):
    """Frames for evaluation, with the coefficients that they were rendered from where these are known."""

    source_exact: Float[Tensor, "b 257"]
    target_exact: Float[Tensor, "b 257"]

    @property
    def true_coefficients(self) -> tuple[Float[Tensor, "b 257"], Float[Tensor, "b 257"]]:
        """The exact ones."""
        return self.source_exact, self.target_exact
