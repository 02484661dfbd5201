"""Seeding, optimisers, averages, checkpoints and the stage base."""

import math
import platform
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from loops import quiet_trainer
from small_stages import SETTINGS, Setting
from torch import nn
from toy_store import write_store

from conventions.errors import UserError
from datamodules.endless import item_loader
from lightning_modules.ame.config import AMEWeights
from lightning_modules.training.checkpoints import load_state, read_checkpoint
from lightning_modules.training.optimisers import ExponentialAverage, check_partition, make_optimizer, warmup_and_cosine
from lightning_modules.training.stage import StageModule, seed_batch


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_batch_draws_the_same_whatever_came_before() -> None:
    seed_batch(3, 17)
    first = draws()
    torch.rand(100)
    seed_batch(3, 17)
    assert draws() == first


def test_seeds_batches_and_ranks_draw_differently() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    values = set()
    for key in keys:
        seed_batch(*key)
        values.add(draws())
    assert len(values) == len(keys)


def cosine_factor(step: int, warmup: int, steps: int) -> float:
    """The schedule by its formula."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


@pytest.mark.parametrize(("warmup", "steps"), [(20, 100), (1, 10), (0, 10), (2, 6)])
def test_the_rate_rises_linearly_then_falls_as_a_cosine(warmup: int, steps: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = warmup_and_cosine(optimizer, warmup=warmup, steps=steps)
    for step in range(steps):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * cosine_factor(step, warmup, steps), abs=1e-12)
        optimizer.step()
        schedule.step()


def test_weight_decay_spares_vectors() -> None:
    optimizer = make_optimizer([nn.Linear(3, 2), nn.LayerNorm(2)], learning_rate=1e-3, weight_decay=0.1)
    decays = {p.ndim: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {2: 0.1, 1: 0.0}


def test_partition_check_names_the_parameter() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    check_partition(net, [make_optimizer([net], learning_rate=1.0)])
    with pytest.raises(AssertionError, match=r"1\.weight is trainable but not in"):
        check_partition(net, [make_optimizer([net[0]], learning_rate=1.0)])
    with pytest.raises(AssertionError, match="two optimisers"):
        check_partition(net, [make_optimizer([net], learning_rate=1.0)] * 2)


def test_average_follows_the_recursion() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = ExponentialAverage(net, decay=0.5)
    expected = net.weight.item()
    for batch, value in enumerate([1.0, -2.0, 4.0, 8.0, 16.0, 3.0, 2.0, 1.0, 7.0]):
        nn.init.constant_(net.weight, value)
        average.update(net, batch)
        decay = min(0.5, (1 + batch) / (10 + batch))
        expected = decay * expected + (1 - decay) * value
    assert average.network.weight.item() == pytest.approx(expected)
    assert not average.network.weight.requires_grad
    assert not average.train().network.training


def test_wrong_weights_are_one_line_naming_key_and_both_shapes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^x\.ckpt: weight 'weight' has shape \[3, 2\].*\[4, 2\]$"):
        load_state(nn.Linear(2, 4), nn.Linear(2, 3).state_dict(), "x.ckpt")
    with pytest.raises(UserError, match="'bias' is missing"):
        load_state(nn.Linear(2, 4), nn.Linear(2, 4, bias=False).state_dict(), "x.ckpt")
    with pytest.raises(UserError, match="weight 'bias' does not belong to this network; valid: weight"):
        load_state(nn.Linear(2, 4, bias=False), nn.Linear(2, 4).state_dict(), "x.ckpt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04half a zip"])
def test_broken_checkpoint_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.ckpt: not a readable checkpoint") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_cut_checkpoint_and_absent_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "whole.ckpt"
    torch.save({"state_dict": nn.Linear(64, 64).state_dict()}, path)
    assert set(read_checkpoint(path)) == {"state_dict"}
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="not a readable"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "absent.ckpt")


class Child(StageModule):
    def __init__(self) -> None:
        super().__init__(AMEWeights())
        self.add_frozen("parent", nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
        self.add_frozen("nobody", None)
        self.net = nn.Linear(2, 2)


def test_frozen_parents_stay_out_of_the_state_and_in_eval_mode() -> None:
    child = Child()
    assert set(child.state_dict()) == {"net.weight", "net.bias"}
    assert not child.train().parent.training
    assert child.net.training
    assert [name for name, p in child.named_parameters() if p.requires_grad] == ["net.weight", "net.bias"]
    assert "parent.0.weight" in dict(child.named_parameters())
    other = Child()
    other.load_state_dict(child.state_dict())
    assert torch.equal(other.net.weight, child.net.weight)
    with pytest.raises(UserError, match="shape"):
        child.load_state_dict({**child.state_dict(), "net.bias": torch.zeros(3)})


class KeepsWhatItEvaluates(StageModule):
    """Keeps a tensor from its first call, as a cache of embeddings does, and trains with it."""

    def __init__(self) -> None:
        super().__init__(AMEWeights())
        self.net = nn.Linear(2, 2)
        self.kept: torch.Tensor | None = None

    def _features(self) -> torch.Tensor:
        if self.kept is None:
            self.kept = torch.ones(1, 2)
        return self.kept

    def evaluate_batch(self, batch: torch.Tensor, loader: int, phase: str) -> float:
        assert not torch.is_grad_enabled()
        return self.net(self._features()).sum().item()

    def summary(self, rows, phase: str) -> dict[str, float]:
        return {"loss": sum(rows[0])}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.net(self._features()).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_what_is_kept_from_an_evaluation_serves_training() -> None:
    """Autograd refuses to keep tensors that were made in inference mode, in which `trainer.validate` runs."""
    loader, module = item_loader([torch.zeros(1)] * 3), KeepsWhatItEvaluates()
    quiet_trainer().validate(module, loader, verbose=False)
    quiet_trainer(max_steps=2).fit(module, loader)


_PAGE_FAULTS = """
import resource, sys
import torch
from lightning_modules.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(64 << 18)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_tensors_are_used_again() -> None:
    made = subprocess.run([sys.executable, "-c", _PAGE_FAULTS], capture_output=True, text=True, check=True)
    first, after = map(int, made.stdout.split())
    assert first > 100
    assert after < first / 10


STRATEGY = {"ame": "ddp_fork", "eac": "ddp_fork", "hef": "ddp_fork_find_unused_parameters_true"}
"""HEF's generator and discriminator take turns."""


class LeaveRank(pl.Callback):
    """Leaves each rank's weights, buffers and optimisers, the sums of its batches, and what it logged in validation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(sum(float(tensor.double().sum()) for tensor in vars(batch).values()))

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        validated = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        optimizers = [optimizer.state_dict()["state"] for optimizer in trainer.optimizers]
        left = {"state": pl_module.state_dict(), "seen": self.seen, "validated": validated, "optimizers": optimizers}
        torch.save(left, self.folder / f"rank{trainer.global_rank}.pt")


def left_by_ranks(setting: Setting, steps: int, folder: Path) -> list[dict[str, Any]]:
    options = {"devices": 2, "strategy": STRATEGY[setting.view], "val_check_interval": 2}
    trainer = quiet_trainer(max_steps=steps, check_val_every_n_epoch=None, callbacks=[LeaveRank(folder)], **options)
    trainer.fit(setting.make(), datamodule=setting.data(write_store(folder / "data")))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.view)
def test_ranks_end_equal_after_batches_of_their_own(setting: Setting, tmp_path: Path) -> None:
    first, second = left_by_ranks(setting, 4, tmp_path)
    assert first["state"].keys() == second["state"].keys()
    different = [name for name, tensor in first["state"].items() if not torch.equal(tensor, second["state"][name])]
    assert different == []
    for one, other in zip(first["optimizers"], second["optimizers"], strict=True):
        assert all(torch.equal(one[key][name], other[key][name]) for key in one for name in one[key])
    assert len(first["seen"]) == len(second["seen"]) == 4
    assert not set(first["seen"]) & set(second["seen"])
    assert first["validated"] == pytest.approx(second["validated"], nan_ok=True)
    assert "val/loss" in first["validated"]
