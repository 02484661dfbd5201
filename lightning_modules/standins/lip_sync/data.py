"""Windows of audio and video for the lip-sync expert: batch k is a pure function of (seed, k)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.errors import UserError
from datamodules.batches import Batch
from datamodules.clips import Clips, StoredClip
from datamodules.config import DataConfig
from datamodules.endless import EndlessData, item_loader
from datamodules.mead import MEADDataModule, evenly
from datamodules.sampling import StyleBalanced, generator, stretch
from datamodules.store import INT16_MAX, Store
from lightning_modules.standins.config import LipSyncConfig
from lightning_modules.standins.judges.data import SpeechClip
from metrics.backbones.judges import SIZE
from metrics.functional.sync import MAX_SHIFT
from metrics.speech_features import FRAMES_PER_WINDOW

STRETCH = 50
"""Most frames of a clip of which the windows of a batch are."""

TEST_CLIPS = 16
"""Most validation clips on which the expert is tested."""


@dataclass(frozen=True)
class LipSyncBatch(Batch):
    """Windows of some clips, clip after clip; images are uint8."""

    pictures: UInt8[Tensor, "n 5 3 64 64"]
    sounds: Float[Tensor, "n 13 20"]
    coefficients: Float[Tensor, "n 5 257"]
    """Those that networks are given."""
    placement: Float[Tensor, "n 5 3"]


@dataclass(frozen=True)
class FaceSpeech:
    """A stretch of a clip: images, audio, and the coefficients measured on the images."""

    speech: SpeechClip
    coefficients: Float[Tensor, "t 257"]
    placement: Float[Tensor, "t 3"]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "FaceSpeech":
        """The same stretch with every tensor on `device`."""
        return FaceSpeech(
            self.speech.to(device, non_blocking=non_blocking),
            self.coefficients.to(device, non_blocking=non_blocking),
            self.placement.to(device, non_blocking=non_blocking),
        )

    def windows(self, starts: Sequence[int]) -> LipSyncBatch:
        """The windows from each start frame on."""
        rows = torch.tensor(starts, device=self.coefficients.device)[:, None]
        rows = rows + torch.arange(FRAMES_PER_WINDOW, device=rows.device)
        pictures, sounds = self.speech.pictures(starts), self.speech.sounds(starts)
        return LipSyncBatch(pictures, sounds, self.coefficients[rows], self.placement[rows])


def read_stretch(store: Store, clip: StoredClip, first: int, length: int, coefficients: str) -> FaceSpeech:
    """Frames `first .. first + length - 1` of a clip."""
    rows = slice(clip.start + first, clip.start + first + length)
    frames = torch.from_numpy(store.frames(clip, range(first, first + length), SIZE))
    waveform = torch.from_numpy(np.asarray(store.audio[rows], np.float32).reshape(-1) / INT16_MAX)
    pictures = frames.permute(0, 3, 1, 2).contiguous()
    vectors, places = store.coefficients_of(coefficients)[rows], store.placement[rows]
    measured = (torch.from_numpy(np.array(part, np.float32)) for part in (vectors, places))
    return FaceSpeech(SpeechClip.make(clip.id, clip.actor, clip.emotion, pictures, waveform), *measured)


def usable(clips: Clips, least: int) -> Clips:
    """Clips of MEAD's styles with audio, images and coefficients, of at least so many frames."""
    whole = clips.where(has_audio=[True], has_coefficients=[True], has_pictures=[True])
    return whole.where(length=lambda length: length >= least)


class LipSyncData(EndlessData):
    """Windows of the training clips; whole clips of the validation actors for the test."""

    def __init__(self, config: LipSyncConfig, data: DataConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed, self.coefficients = config, seed, data.coefficients
        clips = MEADDataModule(data, "eac")
        self.store = clips.store
        self.train_clips = usable(clips.train_clips(), FRAMES_PER_WINDOW + 2)
        self.test_clips = evenly(usable(clips.val_clips(), MAX_SHIFT + 2 * FRAMES_PER_WINDOW), TEST_CLIPS)
        if not self.train_clips:
            raise UserError(
                f"{data.store}: no training clip with audio and images is long enough for the lip-sync loss"
            )
        self._sampler = StyleBalanced(self.train_clips)

    def batch(self, step: int, rank: int = 0) -> LipSyncBatch:
        """Batch number `step`: a pure function of (seed, step, rank)."""
        random = generator(self.seed, step, rank)
        parts = [self._windows(random, clip) for clip in self._sampler.draw(random, self.config.clips)]
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0])}
        return LipSyncBatch(**joined)

    def _windows(self, random: np.random.Generator, clip: StoredClip) -> LipSyncBatch:
        first, length = stretch(random, clip, STRETCH)
        part = read_stretch(self.store, clip, first, length, self.coefficients)
        starts = random.permutation(part.speech.num_windows)[: self.config.windows]
        return part.windows(starts.tolist())

    def test_dataloader(self) -> list[DataLoader]:
        """`FaceSpeech` of whole clips; no loader where there are none."""
        return [item_loader(self.test_clips, self._whole)] if self.test_clips else []

    def _whole(self, clip: StoredClip) -> FaceSpeech:
        return read_stretch(self.store, clip, 0, clip.length, self.coefficients)
