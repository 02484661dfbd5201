"""Training that starts from other weights: warm starts, branches and extensions (`init_from`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from conventions.errors import UserError
from conventions.files import atomic_file
from lightning_modules.training.checkpoints import load_state, read_checkpoint
from lightning_modules.training.stage import StageModule

STATE_SUFFIX = ".ckpt"


def source_file(start: str, runs: Path) -> Path:
    """The file behind `init_from.<stage>`: a `.ckpt` (training state), a `.pt` (weights), or a run's final weights.

    A run is its id below `runs`, or its folder.
    """
    for path in (Path(start), runs / start):
        if path.is_file():
            return path
        if path.is_dir():
            path = path / "checkpoints" / "final.pt"
            if not path.exists():
                raise UserError(f"init_from: {start}: has no final weights ({path})")
            return path
    raise UserError(f"init_from: {start}: is neither a run in {runs} nor a file")


def starting_checkpoint(module: StageModule, start: str, runs: Path, last: Path, steps: int) -> None:
    """Load weights into `module`, or place a training state as the run's own `last.ckpt`.

    A state goes on at its own batch, with its optimisers; the learning rate follows the new configuration's schedule.
    """
    path = source_file(start, runs)
    checkpoint = read_checkpoint(path)
    if path.suffix != STATE_SUFFIX:
        load_state(module, module.upgrade_state(checkpoint["state_dict"]), str(path))
        return
    batch = int(checkpoint["global_step"])
    if batch >= steps:
        raise UserError(f"init_from: {path}: was saved at batch {batch}; a training of {steps} batches is complete")
    last.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(last) as file:
        torch.save(_with_own_rates(checkpoint, module, batch), file)


def _with_own_rates(checkpoint: dict[str, Any], module: StageModule, batch: int) -> dict[str, Any]:
    """The checkpoint with the rates and schedules that the module's own configuration has at `batch`."""
    optimizers, schedules = _configured(module)
    for schedule in schedules:
        for _ in range(batch):
            schedule.optimizer.step()
            schedule.step()
    states = [
        {**state, "param_groups": [_rated(*groups) for groups in _pairs(state, optimizer)]}
        for state, optimizer in zip(checkpoint["optimizer_states"], optimizers, strict=True)
    ]
    return {**checkpoint, "optimizer_states": states, "lr_schedulers": [one.state_dict() for one in schedules]}


def _pairs(state: dict[str, Any], optimizer: Optimizer) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    return zip(state["param_groups"], optimizer.param_groups, strict=True)


def _rated(saved: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return saved | {name: own[name] for name in ("lr", "initial_lr") if name in own}


def _configured(module: StageModule) -> tuple[list[Optimizer], list[LRScheduler]]:
    """What `configure_optimizers` returns: a list of optimisers, or one with its schedule."""
    made: Any = module.configure_optimizers()
    if isinstance(made, dict):
        return [made["optimizer"]], [made["lr_scheduler"]["scheduler"]]
    return list(made), []
