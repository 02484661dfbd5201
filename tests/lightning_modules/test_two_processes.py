"""AME, EAC and HEF trained by two processes on one machine: equal weights and buffers, batches of their own."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from loops import quiet_trainer
from small_stages import SETTINGS, Setting
from toy_store import write_store

STRATEGY = {"ame": "ddp_fork", "eac": "ddp_fork", "hef": "ddp_fork_find_unused_parameters_true"}
"""HEF's generator and discriminator take turns."""

pytestmark = pytest.mark.slow


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
