"""LipSyncModule: trains the lip-sync expert, in place of SyncNet in losses, on photographs and on renders of faces."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from face3d.renderer import Renderer
from lightning_modules.standins.config import LipSyncConfig
from lightning_modules.standins.judges.losses import as_float, relit_halves, sync_loss
from lightning_modules.standins.lip_sync.data import FaceSpeech, LipSyncBatch
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import SyncJudge
from metrics.functional.sync import sync_scores
from metrics.speech_features import FRAMES_PER_WINDOW

WEIGHT_DECAY = 0.05
WARMUP = 20


class LipSyncExpert(SyncJudge):
    """The network of the loss: like the judge of Sync, trained on other people."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.width = width

    def recipe(self) -> Recipe:
        """Its width and its weights."""
        return {"width": self.width, "state": self.state_dict()}

    @classmethod
    def rebuild(cls, recipe: Recipe) -> "LipSyncExpert":
        """The network of a recipe."""
        network = cls(recipe["width"])
        network.load_state_dict(recipe["state"])
        return network.eval()


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
