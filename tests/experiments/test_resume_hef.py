"""HEF killed with SIGKILL at a random moment of a random batch, resumed, and compared bit for bit; real processes."""

import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import hef_world as world
import pytest
import torch
from small_training import work

from datamodules.endless import EndlessData, MakeBatch
from experiments.rundir import RunFolder, read_history
from experiments.schema import TrainerConfig
from experiments.training import train
from lightning_modules.hef.module import HEFModule

pytestmark = pytest.mark.slow

STEPS, CHECKPOINT_EVERY, KILLS = 12, 3, 10


class Reported(HEFModule):
    """HEF that reports each batch as it begins, notes what was in it, and leaves its optimisers' states behind."""

    folder: Path
    line: Connection

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        note = {"batch": self.global_step, "data": float(batch.target.double().sum()), "draw": torch.rand(2).tolist()}
        with (self.folder / "order.jsonl").open("a") as file:
            file.write(json.dumps(note) + "\n")
        self.line.send(self.global_step)

    def on_train_end(self) -> None:
        torch.save([optimizer.state_dict() for optimizer in self.trainer.optimizers], self.folder / "optimizers.pt")


class Faces(EndlessData):
    """Batch k of the small world."""

    def batch_maker(self) -> MakeBatch:
        draw = world.renderer()
        return lambda k: world.make_batch(draw, 4, world.batch_generator(7, k))


def train_from_there(path: str, line: Connection) -> None:
    """Train the run in `path` from wherever it stands."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = world.tiny_config(batch_size=4, micro_batches=2, penalty_every=3, steps=STEPS)
    module = Reported(config, world.HashEncoder(), world.renderer())
    module.folder, module.line = Path(path), line
    trainer = TrainerConfig(accelerator="cpu", checkpoint_every=CHECKPOINT_EVERY, log_every=1)
    train(module, Faces(), work(RunFolder(Path(path)), STEPS), trainer, "")


def start(folder: RunFolder) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """A process that trains the run, and the line on which it names each batch."""
    folder.path.mkdir(exist_ok=True)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=train_from_there, args=(str(folder.path), theirs))
    process.start()
    theirs.close()
    return process, ours


def finish(folder: RunFolder) -> int:
    """Let the run end; the batch that it began with."""
    process, line = start(folder)
    first = line.recv()
    process.join()
    assert process.exitcode == 0
    return first


def kill(folder: RunFolder, batch: int, seconds: float) -> None:
    """Kill the run some time after batch number `batch` began."""
    process, line = start(folder)
    while line.recv() != batch:
        pass
    time.sleep(seconds)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def order(folder: RunFolder) -> dict[int, Any]:
    """What each batch held and drew; a batch that was trained twice was the same both times."""
    notes: dict[int, Any] = {}
    for line in (folder.path / "order.jsonl").read_text().splitlines():
        note = json.loads(line)
        assert notes.setdefault(note["batch"], note) == note
    return notes


def same(first: Any, second: Any) -> bool:
    """Equal to the last bit, however nested."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    return first == second


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, float]:
    """The run that nothing breaks, and how many seconds a batch of it took."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    assert finish(folder) == 0
    rows = read_history(folder.history)
    return folder, (rows[-1]["time"] - rows[0]["time"]) / (len(rows) - 1)


@pytest.mark.parametrize("trial", range(KILLS))
def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    whole: tuple[RunFolder, float], tmp_path: Path, trial: int
) -> None:
    unbroken, seconds = whole
    moment, broken = random.Random(trial), RunFolder(tmp_path / "broken")
    batch = moment.randrange(1, STEPS - 1)
    kill(broken, batch, moment.random() * seconds)
    first = finish(broken)
    assert first % CHECKPOINT_EVERY == 0
    assert batch - CHECKPOINT_EVERY <= first <= batch + CHECKPOINT_EVERY
    weights = [torch.load(one.checkpoints / "final.pt", weights_only=True)["state_dict"] for one in (unbroken, broken)]
    assert {name.split(".")[0] for name in weights[0]} == {"generator", "discriminator", "average"}
    assert same(*weights)
    assert same(*(torch.load(one.path / "optimizers.pt", weights_only=True) for one in (unbroken, broken)))
    assert order(unbroken) == order(broken)
    assert set(order(broken)) == set(range(STEPS))
    curves = [[{**row, "time": 0} for row in read_history(one.history)] for one in (unbroken, broken)]
    assert curves[0] == curves[1]
