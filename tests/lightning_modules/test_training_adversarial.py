"""Two-optimiser training: the step axis, gradients, clipping, resuming; on a two-layer adversary."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from conventions.errors import UserError
from lightning_modules.training.adversarial import AdversarialStage, clip_gradients, held_still, refuse_half_precision
from lightning_modules.training.ema import ExponentialAverage
from lightning_modules.training.optimisers import learning_rate_factor, make_optimizer, make_schedule
from lightning_modules.training.seeding import batch_generator


class Stream(IterableDataset[Tensor]):
    """Batch k is a function of k alone."""

    def __init__(self, start: int = 0) -> None:
        self.start = start

    def __iter__(self) -> Iterator[Tensor]:
        k = self.start
        while True:
            yield torch.randn(4, 3, generator=batch_generator(0, k))
            k += 1


class Duel(AdversarialStage):
    """The smallest adversarial stage: a linear generator with noise, a linear discriminator, an average."""

    def __init__(self, micro_batches: int = 1, noise: float = 0.1) -> None:
        super().__init__(micro_batches=micro_batches, clip_norms=(1e-3, 1e-2))
        self.noise = noise
        torch.manual_seed(0)
        self.generator, self.discriminator = nn.Linear(3, 3), nn.Linear(3, 1)
        self.unused = nn.Linear(2, 2).requires_grad_(False)
        self.average = ExponentialAverage(self.generator, 0.9)
        self.seen: list[float] = []

    @property
    def adversary(self) -> nn.Module:
        return self.discriminator

    def parts(self, batch: Tensor) -> Sequence[Tensor]:
        return batch.chunk(self.micro_batches)

    def generator_loss(self, part: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        made = self.generator(part + self.noise * torch.randn_like(part))
        loss = -self.discriminator(made).mean()
        return loss, made, {"generator": loss}

    def discriminator_loss(self, part: Tensor, generated: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.discriminator(generated).mean() - self.discriminator(part).mean()
        return loss, {"discriminator": loss}

    def after_step(self) -> None:
        self.average.update(self.generator, self.current_batch)

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.seen.append(float(batch[0, 0]))

    def configure_optimizers(self) -> Any:
        return [make_optimizer([net], learning_rate=0.1, betas=(0.0, 0.99)) for net in self.nets]

    @property
    def nets(self) -> tuple[nn.Module, nn.Module]:
        return self.generator, self.discriminator


def fit(module: Duel, steps: int, start: int = 0, checkpoint: Path | None = None, **options: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_steps=steps, max_epochs=-1, enable_checkpointing=False, **{**quiet, **options})
    loader = DataLoader(Stream(start), batch_size=None)
    trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


def states_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_max_steps_counts_batches() -> None:
    module = Duel()
    trainer = fit(module, 8)
    assert trainer.global_step == 8
    assert len(module.seen) == 8
    assert all(int(s["step"]) == 8 for o in trainer.optimizers for s in o.state.values())


def test_generator_step_leaves_the_adversary_gradients_alone() -> None:
    module = Duel()
    mark = torch.full_like(module.discriminator.weight, 7.0)
    module.discriminator.weight.grad = mark.clone()
    with held_still(module.discriminator):
        loss, _, _ = module.generator_loss(torch.randn(4, 3))
        loss.backward()
    assert torch.equal(module.discriminator.weight.grad, mark)
    assert module.generator.weight.grad is not None
    assert module.discriminator.weight.requires_grad


class Scheduled(Duel):
    """Each network's rate rises and falls by batches."""

    def configure_optimizers(self) -> Any:
        optimizers = super().configure_optimizers()
        return optimizers, [make_schedule(one, kind="cosine", warmup=2, steps=6) for one in optimizers]


def test_schedules_count_batches_also_after_a_resume(tmp_path: Path) -> None:
    wanted = 0.1 * learning_rate_factor(5, kind="cosine", warmup=2, steps=6)
    whole, broken = fit(Scheduled(), 5), fit(Scheduled(), 3)
    broken.save_checkpoint(tmp_path / "at3.ckpt")
    resumed = fit(Scheduled(), 5, start=3, checkpoint=tmp_path / "at3.ckpt")
    for trainer in (whole, resumed):
        assert [group["lr"] for one in trainer.optimizers for group in one.param_groups] == pytest.approx([wanted] * 2)


def test_each_optimiser_is_clipped_by_its_own_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []

    def spy(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
        clip_gradients(optimizer, max_norm)
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads]))))

    monkeypatch.setattr("lightning_modules.training.adversarial.clip_gradients", spy)
    fit(Duel(), 2)
    assert norms == pytest.approx([1e-3, 1e-2, 1e-3, 1e-2], rel=1e-2)


def test_micro_batches_give_the_gradients_of_the_whole_batch() -> None:
    whole, halves = Duel(noise=0.0), Duel(micro_batches=2, noise=0.0)
    fit(whole, 3)
    fit(halves, 3)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(halves.state_dict()[key], value)


def test_resumed_run_equals_unbroken_run_bit_for_bit(tmp_path: Path) -> None:
    unbroken = Duel()
    end = fit(unbroken, 7)
    fit(Duel(), 3).save_checkpoint(tmp_path / "at3.ckpt")
    resumed = Duel()
    torch.manual_seed(99)
    resumed_end = fit(resumed, 7, start=3, checkpoint=tmp_path / "at3.ckpt")
    assert states_equal(unbroken.state_dict(), resumed.state_dict())
    assert resumed_end.global_step == 7
    for one, other in zip(end.optimizers, resumed_end.optimizers, strict=True):
        for a, b in zip(one.state.values(), other.state.values(), strict=True):
            assert states_equal(a, b)


@pytest.mark.parametrize("precision", ["16-mixed", "16-true"])
def test_half_precision_is_refused_in_one_line(precision: str) -> None:
    with pytest.raises(UserError, match=r"trainer\.precision.*bf16-mixed"):
        refuse_half_precision(precision)


def test_bf16_trains() -> None:
    module = Duel()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    fit(module, 2, precision="bf16-mixed")
    assert not states_equal(before, module.state_dict())


class _SaveRank(pl.Callback):
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.save(pl_module.state_dict(), f"{self.folder}/rank{trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_end_with_equal_weights(tmp_path: Path) -> None:
    options = {"devices": 2, "strategy": "ddp_spawn_find_unused_parameters_true", "accelerator": "cpu"}
    fit(Duel(), 4, callbacks=[_SaveRank(str(tmp_path))], **options)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert states_equal(first, second)
    alone = Duel()
    fit(alone, 4)
    assert not states_equal(first, alone.state_dict())
