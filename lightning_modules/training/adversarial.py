"""Two networks against each other in one LightningModule: one batch is one step of each, counted once.

Lightning counts every optimiser's step in `global_step`; with two optimisers, `max_steps=8` would train four
batches. Here the discriminator's step hooks are silenced, so that `global_step` counts batches.
"""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from conventions.errors import UserError
from lightning_modules.training.stage import StageModule


def silence_step_hooks(optimizer: LightningOptimizer) -> None:
    """Keep this optimiser's steps out of Lightning's `global_step`; Lightning re-arms the hooks before each batch."""
    optimizer._on_before_step = _nothing
    optimizer._on_after_step = _nothing


def _nothing() -> None:
    return None


@contextlib.contextmanager
def held_still(network: nn.Module) -> Iterator[None]:
    """Gradients flow through `network` but not into its parameters; their `.grad` is left as it is."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def clip_gradients(optimizer: Optimizer, max_norm: float) -> None:
    """Scale the gradients of one optimiser's parameters to a joint norm of at most `max_norm`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, max_norm, foreach=True)


def refuse_half_precision(precision: str) -> None:
    """UserError for precisions that scale losses: clipping by hand would clip scaled gradients."""
    if precision.startswith("16"):
        raise UserError(f"trainer.precision: {precision!r} cannot train an adversarial stage; use 'bf16-mixed' or '32'")


class AdversarialStage(StageModule):
    """A stage of a generator and a discriminator; a subclass says what the two losses are.

    `micro_batches` > 1 works through each batch in that many equal parts and steps once: gradient accumulation
    with the same step axis. `clip_norms` are the largest gradient norms of generator and discriminator.
    `current_batch` is the number of the batch at work (`global_step` moves on within it).
    """

    def __init__(self, *, micro_batches: int, clip_norms: tuple[float, float], seed: int = 0) -> None:
        super().__init__(seed)
        self.automatic_optimization = False
        self.micro_batches = micro_batches
        self.clip_norms = clip_norms
        self.current_batch = 0

    @property
    @abstractmethod
    def adversary(self) -> nn.Module:
        """The discriminator."""

    @abstractmethod
    def generator_loss(self, part: Any) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """(loss, what the discriminator shall judge, scalars to log) of a part of a batch."""

    @abstractmethod
    def discriminator_loss(self, part: Any, generated: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """(loss, scalars to log); `generated` is detached."""

    @abstractmethod
    def parts(self, batch: Any) -> Sequence[Any]:
        """The batch as `micro_batches` equal parts, with whatever both losses need computed once."""

    @abstractmethod
    def after_step(self) -> None:
        """Called when both networks have taken the step of batch number `current_batch` (averages)."""

    def on_fit_start(self) -> None:
        """Refuse loss-scaling precisions before the first batch."""
        super().on_fit_start()
        refuse_half_precision(str(self.trainer.precision))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """One step of the generator, then one of the discriminator on what the generator made."""
        self.current_batch = self.global_step
        generator, discriminator = self._two_optimizers()
        silence_step_hooks(discriminator)
        parts = self.parts(batch)
        generated = self._generator_step(generator, parts)
        self._discriminator_step(discriminator, parts, generated)
        for schedule in self._schedules():
            schedule.step()
        self.after_step()

    def _two_optimizers(self) -> tuple[LightningOptimizer, LightningOptimizer]:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list), "an adversarial stage has two optimisers"
        generator, discriminator = optimizers
        return generator, discriminator

    def _generator_step(self, optimizer: LightningOptimizer, parts: Sequence[Any]) -> list[Tensor]:
        optimizer.zero_grad()
        generated, logs = [], []
        with held_still(self.adversary):
            for part in parts:
                loss, made, scalars = self.generator_loss(part)
                self.manual_backward(loss / len(parts))
                generated.append(made.detach())
                logs.append(scalars)
        optimizer.step()
        self.log_scalars(_mean(logs))
        return generated

    def _discriminator_step(
        self, optimizer: LightningOptimizer, parts: Sequence[Any], generated: Sequence[Tensor]
    ) -> None:
        optimizer.zero_grad()
        logs = []
        for part, made in zip(parts, generated, strict=True):
            loss, scalars = self.discriminator_loss(part, made)
            self.manual_backward(loss / len(parts))
            logs.append(scalars)
        optimizer.step()
        self.log_scalars(_mean(logs))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip each optimiser's gradients by its own norm, after any unscaling."""
        index = next(i for i, own in enumerate(self.trainer.optimizers) if own is optimizer)
        clip_gradients(optimizer, self.clip_norms[index])

    def _schedules(self) -> list[LRScheduler]:
        schedules = self.lr_schedulers()
        return schedules if isinstance(schedules, list) else [schedules] if schedules is not None else []


def _mean(logs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([log[name].detach() for log in logs]).mean() for name in logs[0]}
