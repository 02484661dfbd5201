"""Training that starts from other weights: warm starts, branches and extensions (`init_from`)."""

from pathlib import Path
from typing import Any

import torch

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
    raise UserError(f"init_from: {start}: is neither a run below {runs} nor a file")


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
        raise UserError(f"init_from: {path}: is of batch {batch}; training to {steps} batches has nothing left to do")
    last.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(last) as file:
        torch.save(_with_own_schedule(checkpoint, batch), file)


def _with_own_schedule(checkpoint: dict[str, Any], batch: int) -> dict[str, Any]:
    """The checkpoint with schedules that keep their place and take their shape from the new configuration."""
    schedules = [_place_alone(state) for state in checkpoint.get("lr_schedulers", [])]
    return {**checkpoint, "lr_schedulers": schedules}


def _place_alone(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without the numbers of its shape, also of the schedulers that a sequence holds."""
    kept = {key: value for key, value in state.items() if key in ("last_epoch", "_step_count", "_last_lr")}
    inner = state.get("_schedulers")
    return {**kept, "_schedulers": [_place_alone(one) for one in inner]} if inner else kept
