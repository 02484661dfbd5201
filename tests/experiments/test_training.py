import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments.interruption import InterruptedRunError, Interruption
from experiments.progress import Progress
from experiments.rundir import RunFolder, read_history
from experiments.schema import TrainerConfig
from experiments.training import Job, train
from lightning_modules.training.stage import StageModule

STEPS = 23


class Line(StageModule):
    """Fits a line under dropout: any slip in random numbers or data order changes its weights."""

    def __init__(self) -> None:
        super().__init__(seed=5)
        torch.manual_seed(5)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.seen: list[int] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen.append(int(batch[0, 0]))
        loss = (self.net(batch.sin()) - batch.sum(1, keepdim=True).cos()).square().mean()
        self.log_scalars({"loss": loss})
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Endless:
    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Tensor]:
        step = self.start
        while True:
            yield torch.full((4, 3), float(step)) + torch.arange(12.0).reshape(4, 3)
            step += 1


def job() -> Job:
    return Job(Line(), Endless, STEPS, dict)


def run(folder: RunFolder, work: Job, interruption: Interruption | None = None) -> None:
    folder.path.mkdir(exist_ok=True)
    config = TrainerConfig(accelerator="cpu", checkpoint_every=5, log_every=2)
    train(work, folder, config, Progress(folder.id, STEPS), interruption or Interruption())


class StopAt(Interruption):
    """Asks to stop at one batch, or dies there without a word."""

    def __init__(self, module: Line, step: int, die: bool) -> None:
        self.module, self.step, self.die = module, step, die

    @property
    def wanted(self) -> bool:
        reached = self.module.global_step >= self.step
        if reached and self.die:
            raise MemoryError
        return reached

    @wanted.setter
    def wanted(self, value: bool) -> None:
        pass


def weights(folder: RunFolder) -> dict[str, Tensor]:
    return torch.load(folder.checkpoints / "final.pt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing interrupts."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    run(folder, job())
    return folder


@pytest.mark.parametrize("die", [False, True])
@pytest.mark.parametrize("stop", [7, 10, 22])
def test_a_broken_run_ends_with_the_same_bits_and_the_same_history(
    whole: RunFolder, tmp_path: Path, stop: int, die: bool
) -> None:
    broken = RunFolder(tmp_path / "broken")
    first = job()
    assert isinstance(first.module, Line)
    stopping = StopAt(first.module, stop, die)
    with pytest.raises(MemoryError if die else InterruptedRunError):
        run(broken, first, stopping)
    second = job()
    run(broken, second)
    assert isinstance(second.module, Line)
    resumed_from = (stop - 1) // 5 * 5 if die else stop
    assert second.module.seen == list(range(resumed_from, STEPS))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    curves = [[(row["step"], row["train/loss"]) for row in read_history(f.history)] for f in (whole, broken)]
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[0]] == list(range(2, STEPS, 2))


def test_training_leaves_only_final_weights(whole: RunFolder) -> None:
    folder = whole
    assert [path.name for path in folder.checkpoints.iterdir()] == ["final.pt"]
    assert sorted(path.name for path in folder.path.iterdir()) == ["checkpoints", "history.jsonl"]


class Slow(Endless):
    """Batches that take 30 ms each to come."""

    def __iter__(self) -> Iterator[Tensor]:
        for batch in super().__iter__():
            time.sleep(0.03)
            yield batch


def test_the_share_of_waiting_for_batches_is_told(tmp_path: Path) -> None:
    shares = []
    for name, batches in (("quick", Endless), ("slow", Slow)):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        progress = Progress(name, STEPS)
        config = TrainerConfig(accelerator="cpu", checkpoint_every=5, log_every=2)
        train(Job(Line(), batches, STEPS, dict), folder, config, progress, Interruption())
        shares.append(progress.data_wait)
    assert 0 <= shares[0] < shares[1] <= 1
