"""Clips with audio for the sync judge: images at 64 px in memory, cut into SyncNet's windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datamodules.store import Store, StoredClip
from metrics.backbones.judges import SIZE
from metrics.functional.sync import MAX_SHIFT
from metrics.speech_features import FRAMES_PER_WINDOW, STEPS_PER_FRAME, STEPS_PER_WINDOW, num_windows, syncnet_mfcc


@dataclass(frozen=True)
class SpeechClip:
    """One clip: images and the MFCCs of its audio."""

    id: str
    actor: str
    emotion: str | None
    frames: UInt8[Tensor, "t 3 64 64"]
    mfcc: Float[Tensor, "steps 13"]
    num_windows: int

    @classmethod
    def make(
        cls, id: str, actor: str, emotion: str | None, frames: UInt8[Tensor, "t 3 64 64"], waveform: Tensor
    ) -> "SpeechClip":
        """A clip from images and 16 kHz audio in [-1, 1]."""
        windows = num_windows(len(frames), len(waveform))
        return cls(id, actor, emotion, frames, syncnet_mfcc(waveform), windows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SpeechClip":
        """The same clip with every tensor on `device`."""
        frames, mfcc = (part.to(device, non_blocking=non_blocking) for part in (self.frames, self.mfcc))
        return replace(self, frames=frames, mfcc=mfcc)

    def pictures(self, starts: Sequence[int]) -> UInt8[Tensor, "n 5 3 64 64"]:
        """Five frames from each start frame on."""
        return torch.stack([self.frames[start : start + FRAMES_PER_WINDOW] for start in starts])

    def sounds(self, starts: Sequence[int]) -> Float[Tensor, "n 13 20"]:
        """The MFCC steps that sound with the windows from each start frame on."""
        firsts = [start * STEPS_PER_FRAME for start in starts]
        return torch.stack([self.mfcc[first : first + STEPS_PER_WINDOW].T for first in firsts])


def speech_clips(store: Store, clips: Sequence[StoredClip]) -> list[SpeechClip]:
    """Clips that have audio and are long enough for every shift of the protocol."""
    found = []
    for clip in clips:
        if not clip.has_audio or clip.length < MAX_SHIFT + 2 * FRAMES_PER_WINDOW:
            continue
        frames = torch.from_numpy(store.frames(clip, range(clip.length), SIZE)).permute(0, 3, 1, 2).contiguous()
        waveform = torch.from_numpy(np.asarray(store.audio[clip.rows], np.float32).reshape(-1) / 32768)
        found.append(SpeechClip.make(clip.id, clip.actor, clip.emotion, frames, waveform))
    return found
