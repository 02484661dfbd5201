"""What happens between batches of a run: progress, checkpoints, curves, images, and the stop on a non-finite loss."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer

from conventions.errors import UserError
from conventions.registry import Registry
from experiments.history import HistoryLogger, share_of_waiting
from experiments.progress import InterruptedRunError
from experiments.rundir import RunFolder
from experiments.samples import write_strip
from experiments.schema import TrainerConfig
from experiments.stage import Work

CALLBACKS = Registry("callback", "callbacks", {})
"""Lightning callbacks of the user's own, by import path or entry point (`trainer.callbacks`)."""


SHOWN_CLIPS = 3
"""Validation clips whose images are written during training."""


class DivergedError(Exception):
    """A loss or a weight that is not finite: the run has failed and cannot go on."""


class StopOnNonFinite(pl.Callback):
    """Raises DivergedError with the number of the first batch whose loss is not finite.

    The number is kept on the device; reading it waits for the device, and so happens every `every` batches on a GPU.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._first: Tensor | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note a non-finite loss."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is None:
            return
        step = trainer.global_step
        if self._first is None:
            self._first = torch.full((), -1, dtype=torch.long, device=loss.device)
        bad = ~torch.isfinite(loss.detach()) & (self._first < 0)
        self._first = torch.where(bad, torch.full_like(self._first, step), self._first)
        if loss.device.type == "cpu" or step % self.every == 0:
            self.check()

    def check(self) -> None:
        """Raise where a loss was not finite; called before anything is saved."""
        if self._first is not None and (first := int(self._first)) >= 0:
            raise DivergedError(f"the loss of batch {first} is not finite")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the last batches."""
        self.check()


class RunProgress(pl.Callback):
    """Progress, checkpoints of the run folder, and the stop that a signal asks for.

    `last.ckpt` is replaced every `checkpoint_every` batches; every `keep_every` batches a copy stays as `step-N.ckpt`.
    """

    def __init__(self, work: Work, config: TrainerConfig, finite: StopOnNonFinite) -> None:
        self.work, self.config, self.finite = work, config, finite

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back from Lightning, and count batches as an unbroken run does.

        A checkpoint is written when the next batch has begun already: a resumed Lightning counts that batch twice, and
        would validate on other batches. (`batch_progress` of pytorch-lightning, read in 2.6.6.)
        """
        self.work.interruption.arm()
        total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
        total.ready = total.started = total.completed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save or stop after the batches so far, whose history is written by now."""
        step = trainer.global_step
        # A resumed Lightning counts one batch too many here, and would log on other batches than an unbroken run.
        trainer.fit_loop.epoch_loop._batches_that_stepped = step
        stop = _any_rank(trainer, self.work.interruption.wanted)
        if step > self.work.progress.step:
            self._advance(trainer)
            self._save(trainer, step, stop)
        if stop:
            self.work.progress.data_wait = share_of_waiting(trainer)
            raise InterruptedRunError

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last batch has no next one: its full state makes the finished run extendable."""
        self._advance(trainer)
        self.work.progress.data_wait = share_of_waiting(trainer)
        self._save(trainer, trainer.global_step, True)

    def _advance(self, trainer: pl.Trainer) -> None:
        last = trainer.logger.last if isinstance(trainer.logger, HistoryLogger) else {}
        loss = last.get("train/loss", last.get("train/generator"))
        self.work.progress.advance(trainer.global_step, f"loss {loss:.4g}" if loss is not None else "")

    def _save(self, trainer: pl.Trainer, step: int, now: bool) -> None:
        keep = self.config.keep_every and step % self.config.keep_every == 0
        if now or keep or step % self.config.checkpoint_every == 0:
            self.finite.check()
            places = [self.work.folder.checkpoints / "last.ckpt"]
            places += [self.work.folder.checkpoints / f"step-{step}.ckpt"] if keep else []
            for place in places:
                save_checkpoint(trainer, place)


def _any_rank(trainer: pl.Trainer, wanted: bool) -> bool:
    """Whether any rank was asked to stop: all ranks stop before the same batch."""
    return trainer.strategy.reduce_boolean_decision(wanted, all=False) if trainer.world_size > 1 else wanted


def save_checkpoint(trainer: pl.Trainer, path: Path) -> None:
    """Write Lightning's checkpoint beside its place, then rename it; every rank calls this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    trainer.save_checkpoint(partial, weights_only=False)
    if trainer.is_global_zero:
        partial.replace(path)


class Curves(pl.Callback):
    """Logs learning rates and gradient norms of each optimiser on the batches that are logged."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._due = False
        self._norms: dict[str, Tensor] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Rates of the batch that begins."""
        self._due = (trainer.global_step + 1) % self.every == 0
        for optimizer in trainer.optimizers:
            pl_module.log(f"train/lr{_suffix(trainer, optimizer)}", float(optimizer.param_groups[0]["lr"]))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Norm before clipping."""
        if self._due:
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            self._norms[f"train/grad_norm{_suffix(trainer, optimizer)}"] = torch.nn.utils.get_total_norm(gradients)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Norms of all optimisers at once: what a hook logs in its first of two calls, Lightning drops at times."""
        pl_module.log_dict(self._norms)
        self._norms = {}


def _suffix(trainer: pl.Trainer, optimizer: Optimizer) -> str:
    """Nothing for the only optimiser, `/1`, `/2` for several."""
    if len(trainer.optimizers) == 1:
        return ""
    number = next(i for i, own in enumerate(trainer.optimizers, 1) if own is optimizer)
    return f"/{number}"


class SampleStrips(pl.Callback):
    """Writes what the module shows of some validation clips to samples/train, every `every` batches."""

    def __init__(self, folder: RunFolder, every: int, val_every: int) -> None:
        self.folder, self.every, self.val_every = folder, every, val_every
        self._shown: list[dict[str, Tensor]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget what an interrupted validation showed."""
        self._shown = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the images of clips that are evenly taken from all."""
        step, count = trainer.global_step, int(trainer.num_val_batches[0])
        due = step // self.every > (step - self.val_every) // self.every and trainer.is_global_zero
        if due and dataloader_idx == 0 and batch_idx in {count * part // SHOWN_CLIPS for part in range(SHOWN_CLIPS)}:
            with torch.no_grad():
                rows = pl_module.samples(batch)  # pyright: ignore[reportCallIssue]
            if rows:
                self._shown.append({name: frames.cpu() for name, frames in rows.items()})

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One strip of images and one video, clip after clip."""
        if self._shown:
            rows = {name: torch.cat([clip[name] for clip in self._shown]) for name in self._shown[0]}
            place = self.folder.strip(trainer.global_step)
            write_strip(place.parent, place.stem, rows)


def run_callbacks(work: Work, config: TrainerConfig) -> list[pl.Callback]:
    """The callbacks of a run, the same on every rank: what saves or stops acts on all ranks together."""
    finite = StopOnNonFinite(config.log_every)
    callbacks = [
        finite,
        RunProgress(work, config, finite),
        Curves(config.log_every),
        *(user_callback(line) for line in config.callbacks),
        SampleStrips(work.folder, config.sample_every, config.val_every),
    ]
    if config.monitor:
        best = {"monitor": config.monitor, "mode": config.monitor_mode, "enable_version_counter": False}
        callbacks.append(ModelCheckpoint(work.folder.checkpoints, "best", **best))
    return callbacks


def user_callback(line: str) -> pl.Callback:
    """A callback from `module:Class key=value ...`; values are read as YAML."""
    path, *words = shlex.split(line)
    kind = CALLBACKS.load(path)
    arguments = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}
    try:
        made = kind(**arguments)
    except TypeError as error:
        raise UserError(f"trainer.callbacks: {line!r}: {error}") from error
    if not isinstance(made, pl.Callback):
        raise UserError(f"trainer.callbacks: {path!r} is not a Lightning callback")
    return made
