"""One stage's training with Lightning: batches counted once, checkpoints whole, resumed to the same bits.

It may start from other weights: warm starts, branches and extensions (`init_from`).
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from conventions.errors import UserError
from conventions.files import atomic_file
from experiments.callbacks import DivergedError, run_callbacks
from experiments.history import HistoryLogger, make_profiler
from experiments.launch import cluster_environment, join_group, leave_group, world_size
from experiments.rundir import RunFolder, truncate_history
from experiments.schema import TrainerConfig
from experiments.stage import Work
from lightning_modules.training.checkpoints import load_state, read_checkpoint
from lightning_modules.training.memory import keep_freed_memory
from lightning_modules.training.stage import StageModule


def train(module: StageModule, data: pl.LightningDataModule, work: Work, config: TrainerConfig, start: str) -> None:
    """Train to `work.progress.total` batches and write final.pt.

    Goes on from the run's own last checkpoint where there is one, else from `start` (see `experiments.training`).
    """
    folder, steps = work.folder, work.progress.total
    last = folder.checkpoints / "last.ckpt"
    if not last.exists() and start:
        starting_checkpoint(module, start, work.runs, last, steps)
    batch = int(read_checkpoint(last)["global_step"]) if last.exists() else 0
    truncate_history(folder.history, batch)
    work.progress.start(batch)
    logger = HistoryLogger(folder.history, work.follow)
    fit(module, data, folder, config, steps, logger, run_callbacks(work, config))
    save_weights(module, folder.checkpoints / "final.pt")


def fit(
    module: StageModule,
    data: pl.LightningDataModule,
    folder: RunFolder,
    config: TrainerConfig,
    steps: int,
    logger: HistoryLogger | bool,
    callbacks: list[pl.Callback],
) -> None:
    """Fit on every rank alike, from the folder's last checkpoint where there is one; leave the process group."""
    last = folder.checkpoints / "last.ckpt"
    keep_freed_memory()
    trainer = make_trainer(module, config, folder, steps, logger, callbacks)
    if not data.val_dataloader():
        trainer.limit_val_batches = 0
    try:
        if world_size(config) > 1:
            join_group(folder.id, config.accelerator)
        trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
        if trainer.world_size > 1:
            check_equal_ranks(trainer, module)
    finally:
        leave_group()
    assert trainer.global_step == steps, f"trained {trainer.global_step} batches of {steps}"


def measure(module: StageModule, data: pl.LightningDataModule, config: TrainerConfig) -> dict[str, float]:
    """The module's own test metrics, by their names without `test/`; empty where the data has nothing to test on."""
    data.prepare_data()
    data.setup("test")
    if not data.test_dataloader():
        return {}
    module.eval()
    _quiet_lightning()
    one_process = {"devices": 1, "plugins": [cluster_environment(1)]}
    trainer = pl.Trainer(accelerator=config.accelerator, logger=False, **one_process, **_QUIET)
    results = trainer.test(module, datamodule=data, verbose=False)
    return {name.removeprefix("test/"): value for row in results for name, value in row.items()}


_QUIET: dict[str, Any] = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def make_trainer(
    module: StageModule,
    config: TrainerConfig,
    folder: RunFolder,
    steps: int,
    logger: HistoryLogger | bool,
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    """Lightning's trainer for one stage: bounded by batches, checkpoints by our callbacks."""
    _quiet_lightning()
    strategy = config.strategy
    if strategy == "auto" and world_size(config) > 1:
        strategy = "ddp_find_unused_parameters_true"  # generator and discriminator take turns
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=strategy,
        plugins=[cluster_environment(config.devices, config.num_nodes)],
        precision=config.precision,
        max_steps=steps,
        deterministic="warn" if torch.cuda.is_available() else False,
        gradient_clip_val=config.gradient_clip if config.gradient_clip and module.automatic_optimization else None,
        logger=logger,
        callbacks=callbacks,
        profiler=make_profiler(config.profiler, folder.path),
        log_every_n_steps=min(config.log_every, max(1, steps)),
        val_check_interval=config.val_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        default_root_dir=folder.path,
        use_distributed_sampler=False,
        **{**_QUIET, "enable_checkpointing": any(isinstance(one, ModelCheckpoint) for one in callbacks)},
    )


def _quiet_lightning() -> None:
    """No hints and no warnings of what is meant: frozen parents in eval mode, loaders without workers."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Found .* module.s. in eval mode", category=UserWarning)
    warnings.filterwarnings("ignore", "The `srun` command is available")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", "The '.*_dataloader' does not have many workers")
    warnings.filterwarnings("ignore", ".*infer the `batch_size` from an ambiguous collection")


def check_equal_ranks(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Assert that every rank has the same weights and buffers, by the sums of their tensors."""
    tensors = [tensor for tensor in module.state_dict().values() if isinstance(tensor, Tensor)]
    sums = torch.stack([tensor.detach().double().sum() for tensor in tensors])
    everyone = [torch.empty_like(sums) for _ in range(trainer.world_size)]
    torch.distributed.all_gather(everyone, sums)
    assert all(torch.equal(other, sums) for other in everyone), "the ranks ended with different weights"


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The first weight that holds NaN or infinity; None where there is none."""
    weights = ((name, tensor) for name, tensor in state.items() if tensor.is_floating_point())
    return next((name for name, tensor in weights if not bool(torch.isfinite(tensor).all())), None)


def save_weights(module: StageModule, path: Path) -> None:
    """The stage's own weights as {"state_dict": ...}, whole or not at all; DivergedError where one is not finite."""
    state = module.state_dict()
    if (name := not_finite(state)) is not None:
        raise DivergedError(f"weight {name!r} is not finite after the last batch")
    with atomic_file(path) as file:
        torch.save({"state_dict": state}, file)


def load_final(module: StageModule, path: Path) -> None:
    """Load final.pt; UserError where it is damaged, of another network, or has weights that are not finite."""
    state = module.upgrade_state(read_checkpoint(path)["state_dict"])
    if (name := not_finite(state)) is not None:
        raise UserError(f"{path}: weight {name!r} is not finite; the run diverged, train it again (--force)")
    load_state(module, state, str(path))


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
    states = []
    for state, optimizer in zip(checkpoint["optimizer_states"], optimizers, strict=True):
        rates = [{n: own[n] for n in ("lr", "initial_lr") if n in own} for own in optimizer.param_groups]
        groups = [saved | own for saved, own in zip(state["param_groups"], rates, strict=True)]
        states.append({**state, "param_groups": groups})
    return {**checkpoint, "optimizer_states": states, "lr_schedulers": [one.state_dict() for one in schedules]}


def _configured(module: StageModule) -> tuple[list[Optimizer], list[LRScheduler]]:
    """What `configure_optimizers` returns: a list of optimisers, or one with its schedule."""
    made: Any = module.configure_optimizers()
    if isinstance(made, dict):
        return [made["optimizer"]], [made["lr_scheduler"]["scheduler"]]
    return list(made), []
