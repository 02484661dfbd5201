"""A stage that trains in a second, its data, and the work on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules.endless import EndlessData, MakeBatch, item_loader
from experiments.graph import compose, plan
from experiments.progress import Interruption, Progress
from experiments.rundir import RunFolder
from experiments.schema import TrainerConfig
from experiments.stage import Work
from experiments.training import train
from lightning_modules.training.optimisers import warmup_and_cosine
from lightning_modules.training.stage import Phase, Rows, StageModule

STEPS = 23


@dataclass(frozen=True)
class LineConfig:
    steps: int = STEPS


class Line(StageModule):
    """Fits a line under dropout: any slip in random numbers, data order or schedule changes its weights."""

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__(LineConfig(steps))
        self.seed = 5
        torch.manual_seed(5)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.seen: list[int] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(int(batch[0, 0]))
        loss = self.loss(batch)
        self.log_scalars({"loss": loss})
        return loss

    def loss(self, batch: Tensor) -> Tensor:
        return (self.net(batch.sin()) - batch.sum(1, keepdim=True).cos()).square().mean()

    def evaluate_batch(self, batch: Tensor, loader: int, phase: Phase) -> float:
        return self.loss(batch).item()

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        return {"loss": sum(rows[0]) / len(rows[0])}

    def samples(self, batch: Tensor) -> dict[str, Tensor]:
        return {"picture": torch.zeros(2, 3, 16, 16)}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        schedule = warmup_and_cosine(optimizer, warmup=4, steps=self.config.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def batch(step: int) -> Tensor:
    return torch.full((4, 3), float(step)) + torch.arange(12.0).reshape(4, 3)


class Points(EndlessData):
    """Batch k holds numbers about k; validation and test have two batches each."""

    make: Callable[[int], Tensor] = staticmethod(batch)

    def batch_maker(self) -> MakeBatch:
        return type(self).make  # pyright: ignore[reportReturnType]

    def val_dataloader(self) -> list[DataLoader]:
        return [item_loader([batch(100), batch(101)])]

    def test_dataloader(self) -> list[DataLoader]:
        return [item_loader([batch(200), batch(201)])]


CONFIG = TrainerConfig(accelerator="cpu", checkpoint_every=5, log_every=2, val_every=4, sample_every=8)


def work(folder: RunFolder, steps: int = STEPS, interruption: Interruption | None = None) -> Work:
    """Work on a run whose stage does not matter."""
    folder.path.mkdir(exist_ok=True)
    run = plan(compose("toy", target="gpt2"), lambda path: "")[0]
    return Work(run, folder.path.parent, folder, Progress(folder.id, steps), interruption or Interruption())


def run(
    folder: RunFolder,
    module: Line,
    data: EndlessData | None = None,
    interruption: Interruption | None = None,
    config: TrainerConfig = CONFIG,
    start: str = "",
) -> Work:
    given = work(folder, module.config.steps, interruption)
    train(module, data or Points(), given, config, start)
    return given
