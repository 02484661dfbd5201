"""LipSyncModule: trains the lip-sync expert, in place of SyncNet in losses, on photographs and on renders of faces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from conventions.errors import UserError
from datamodules.batches import Batch, Moved
from datamodules.clips import Clips, StoredClip
from datamodules.config import DataConfig
from datamodules.endless import EndlessData, item_loader
from datamodules.mead import MEADDataModule, evenly
from datamodules.sampling import StyleBalanced, generator, stretch
from datamodules.store import INT16_MAX, Store
from face3d.renderer import Renderer
from lightning_modules.standins.config import LipSyncConfig
from lightning_modules.standins.judges.critics import Rebuilt
from lightning_modules.standins.judges.data import SpeechClip
from lightning_modules.standins.judges.losses import as_float, relit_halves, sync_loss
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import SIZE, SyncJudge
from metrics.functional.sync import MAX_SHIFT, sync_scores
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
class FaceSpeech(Moved):
    """A stretch of a clip: images, audio, and the coefficients measured on the images."""

    speech: SpeechClip
    coefficients: Float[Tensor, "t 257"]
    placement: Float[Tensor, "t 3"]

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


WEIGHT_DECAY = 0.05
WARMUP = 20


class LipSyncExpert(Rebuilt, SyncJudge):
    """The network of the loss: like the judge of Sync, trained on other people."""

    @property
    def width(self) -> int:
        """Channels of the first layer for sounds; those for images have twice as many."""
        return next(self.sound.parameters()).shape[0]


class LipSyncModule(StageModule):
    """Contrast of windows of five frames with their audio; `expert` is the network for losses.

    `renderer` draws some windows from their coefficients, as EAC's loss draws its prediction; without it, photographs
    alone are learnt.
    """

    config: LipSyncConfig
    renderer: Renderer | None

    def __init__(self, config: LipSyncConfig | Mapping[str, Any], renderer: Renderer | None = None) -> None:
        config = as_config(LipSyncConfig, config)
        super().__init__(config)
        self.expert = LipSyncExpert(config.width)
        self.add_frozen("renderer", renderer)

    @torch.no_grad()
    def drawn(
        self, coefficients: Float[Tensor, "n 257"], placement: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3 64 64"]:
        """Renders in [-1, 1], as EAC's loss draws them."""
        assert self.renderer is not None
        return self.renderer(coefficients, placement).image

    def losses(self, batch: LipSyncBatch) -> dict[str, Float[Tensor, ""]]:
        """Contrast of photographs, and of renders, with their sounds."""
        temperature, sounds = self.config.temperature, self.expert.audio(batch.sounds)
        photographs = self.expert.lower_halves(relit_halves(as_float(batch.pictures)))
        found = {"photo": sync_loss(sounds, photographs, temperature)}
        count = self.config.clips * self.config.renders
        if self.renderer is not None and count > 0:
            rows = torch.arange(count, device=sounds.device) * len(batch) // count
            renders = self.drawn(batch.coefficients[rows].flatten(0, 1), batch.placement[rows].flatten(0, 1))
            halves = relit_halves(renders.unflatten(0, (-1, FRAMES_PER_WINDOW)))
            found["render"] = sync_loss(sounds[rows], self.expert.lower_halves(halves), temperature)
        return found

    def training_step(self, batch: LipSyncBatch, batch_idx: int) -> Tensor:
        """Sum of the losses; sounds are standardised by the moments of the first batch."""
        if self.batch_number == 0:
            self.expert.standardise(batch.sounds)
        values = self.losses(batch)
        total = torch.stack(list(values.values())).sum()
        self.log_scalars({"loss": total, **values})
        return total

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule."""
        return adamw_with_cosine(self, Schedule(self.config.steps, self.config.learning_rate, WARMUP, WEIGHT_DECAY))

    def evaluate_batch(self, batch: FaceSpeech, loader: int, phase: Phase) -> dict[str, float]:
        """Whether a clip's offset is found within a frame, and its confidence, on photographs and on renders."""
        starts = range(batch.speech.num_windows)
        frames, row = {"photo": as_float(batch.speech.frames)}, {}
        if self.renderer is not None:
            frames["render"] = self.drawn(batch.coefficients, batch.placement)
        sounds = self.expert.audio(batch.speech.sounds(starts))
        for name, shown in frames.items():
            windows = torch.stack([shown[start : start + FRAMES_PER_WINDOW] for start in starts])
            confidence, _, offset = (float(one) for one in sync_scores(sounds, self.expert.video(windows)))
            row |= {f"{name}_accuracy": float(abs(offset) <= 1), f"{name}_confidence": confidence}
        return row

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Means over the clips."""
        return {name: sum(row[name] for row in rows[0]) / len(rows[0]) for name in rows[0][0]}
