"""One stage's training with Lightning: batches counted once, checkpoints whole, resumed to the same bits."""

import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from conventions.files import atomic_file
from experiments.history import HistoryLogger
from experiments.interruption import InterruptedRunError, Interruption
from experiments.loader_wait import LoaderWait
from experiments.progress import Progress
from experiments.ranks import other_ranks
from experiments.rundir import Row, RunFolder, truncate_history
from experiments.schema import TrainerConfig
from lightning_modules.training.checkpoints import read_checkpoint
from lightning_modules.training.memory import keep_freed_memory
from lightning_modules.training.stage import StageModule


@dataclass
class Job:
    """What a stage trains: a module, its endless batches from a given step on, and its own test."""

    module: StageModule
    batches: Callable[[int], Iterable[Any]]
    """First batch number -> iterable of batches number first, first + 1, ..."""
    steps: int
    evaluate: Callable[[], dict[str, float]]


class RunCallback(pl.Callback):
    """Between batches: progress, periodic checkpoints, and the stop that someone asked for."""

    def __init__(self, folder: RunFolder, every: int, progress: Progress, interruption: Interruption) -> None:
        self.folder, self.every, self.progress, self.interruption = folder, every, progress, interruption
        self.wait = LoaderWait()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back from Lightning."""
        self.interruption.arm()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look after the batches so far, whose history is written by now: save, or stop."""
        step = trainer.global_step
        # A resumed Lightning counts one batch too many here, and would log on other batches than an unbroken run.
        trainer.fit_loop.epoch_loop._batches_that_stepped = step
        stop = self._all_stop(trainer)
        if step > self.progress.step:
            self.progress.data_wait = self.wait.share
            self.progress.advance(step, self._note(trainer))
            if stop or step % self.every == 0:
                save_checkpoint(trainer, self.folder.checkpoints / "last.ckpt")
        if stop:
            raise InterruptedRunError

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last batch has no next one to be counted by."""
        self.progress.data_wait = self.wait.share
        self.progress.advance(trainer.global_step, self._note(trainer))
        if trainer.world_size > 1:
            check_equal_ranks(trainer, pl_module)

    def _all_stop(self, trainer: pl.Trainer) -> bool:
        """Whether rank 0 was asked to stop: all ranks hear of it before the same batch."""
        wanted = self.interruption.wanted
        return trainer.strategy.reduce_boolean_decision(wanted, all=False) if trainer.world_size > 1 else wanted

    def _note(self, trainer: pl.Trainer) -> str:
        logger = trainer.logger
        last = logger.last if isinstance(logger, HistoryLogger) else {}
        loss = last.get("train/loss", last.get("train/generator"))
        return f"loss {loss:.4g}" if loss is not None else ""


def check_equal_ranks(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Assert that every rank holds the same weights, averages included, by the sums of their tensors.

    Buffers are left out: running statistics of the data are rank 0's, which hands them on before each batch.
    """
    sums = torch.stack([weight.detach().double().sum() for weight in module.parameters()])
    everyone = [torch.empty_like(sums) for _ in range(trainer.world_size)]
    torch.distributed.all_gather(everyone, sums)
    assert all(torch.equal(other, sums) for other in everyone), "the ranks ended with different weights"


def save_checkpoint(trainer: pl.Trainer, path: Path) -> None:
    """Write Lightning's checkpoint beside its place, then put it there in one move; every rank calls it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    trainer.save_checkpoint(partial, weights_only=False)
    if trainer.is_global_zero:
        partial.replace(path)


def train(
    job: Job,
    folder: RunFolder,
    config: TrainerConfig,
    progress: Progress,
    interruption: Interruption,
    follow: Callable[[Row], None] | None = None,
) -> None:
    """Train `job` to its last step, from its last checkpoint where there is one, and write final.pt."""
    last, start = _last_checkpoint(folder)
    truncate_history(folder.history, start)
    progress.start(start)
    logger = HistoryLogger(folder.history, follow)
    callback = RunCallback(folder, config.checkpoint_every, progress, interruption)
    with other_ranks(folder, config.devices):
        _fit(job, _trainer(job.steps, config, folder, logger, callback), last, start)
    save_weights(job.module, folder.checkpoints / "final.pt")
    last.unlink(missing_ok=True)


def train_beside(job: Job, folder: RunFolder, config: TrainerConfig) -> None:
    """Train `job` as a further rank of `train` in another process; nothing is written here."""
    last, start = _last_checkpoint(folder)
    callback = RunCallback(folder, config.checkpoint_every, Progress(folder.id, job.steps), Interruption())
    _fit(job, _trainer(job.steps, config, folder, False, callback), last, start)


def _last_checkpoint(folder: RunFolder) -> tuple[Path, int]:
    """Where the last checkpoint is kept, and the first batch after it (0 without one)."""
    last = folder.checkpoints / "last.ckpt"
    return last, int(read_checkpoint(last)["global_step"]) if last.exists() else 0


def _fit(job: Job, trainer: pl.Trainer, last: Path, start: int) -> None:
    keep_freed_memory()
    trainer.fit(job.module, job.batches(start), ckpt_path=last if start else None, weights_only=True)
    assert trainer.global_step == job.steps, f"trained {trainer.global_step} batches of {job.steps}"


def save_weights(module: StageModule, path: Path) -> None:
    """The stage's own weights as {"state_dict": ...}, whole or not at all."""
    with atomic_file(path) as file:
        torch.save({"state_dict": module.state_dict()}, file)


def _trainer(
    steps: int, config: TrainerConfig, folder: RunFolder, logger: HistoryLogger | Literal[False], callback: RunCallback
) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Found .* module.s. in eval mode", category=UserWarning)  # frozen parents are
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    alone = config.devices == 1
    return pl.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy="auto" if alone else "ddp_find_unused_parameters_true",  # generator and discriminator take turns
        plugins=None if alone else [LightningEnvironment()],
        precision=config.precision,
        max_steps=steps,
        logger=logger,
        callbacks=[callback],
        profiler=callback.wait,
        log_every_n_steps=min(config.log_every, max(1, steps)),
        default_root_dir=folder.path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
