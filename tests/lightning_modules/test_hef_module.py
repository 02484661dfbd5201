"""HEFModule in Lightning: partition, averages, exact resume, what animate uses, what evaluate reports."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent))
import hef_world as world

from conventions.errors import UserError
from lightning_modules.hef.evaluation import evaluate
from lightning_modules.hef.module import HEFModule
from lightning_modules.training.seeding import batch_generator


class Critic(nn.Module):
    """A linear stand-in for the emotion and identity networks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean(dim=(2, 3)))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)


def build(**changes: Any) -> HEFModule:
    torch.manual_seed(0)
    return HEFModule(world.tiny_config(**changes), world.HashEncoder(), world.renderer(), Critic(), Critic())


def fit(module: HEFModule, steps: int, start: int = 0, checkpoint: Path | None = None, **options: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_steps=steps, max_epochs=-1, enable_checkpointing=False, **{**quiet, **options})
    loader = DataLoader(world.Pairs(count=module.config.batch_size, start=start), batch_size=None)
    trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_training_moves_both_networks_and_the_average() -> None:
    module, fresh = build(penalty_every=2), build()
    trainer = fit(module, 3)
    assert trainer.global_step == 3
    for part in ("generator", "discriminator", "average"):
        assert not equal(getattr(module, part).state_dict(), getattr(fresh, part).state_dict())
    names = {"pixel", "perceptual", "adversarial", "identity", "emotion", "warp", "motion", "smoothness"}
    logged = {name.removeprefix("train/"): float(value) for name, value in trainer.logged_metrics.items()}
    assert names | {"generator", "discriminator", "gradient_penalty"} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())


def test_state_holds_two_networks_and_the_average_of_the_generator_only() -> None:
    module = build()
    assert {key.split(".")[0] for key in module.state_dict()} == {"generator", "discriminator", "average"}
    generator = {key.removeprefix("generator.") for key in module.state_dict() if key.startswith("generator.")}
    average = {key.removeprefix("average.network.") for key in module.state_dict() if key.startswith("average.")}
    assert generator == average


class _Gradients(pl.Callback):
    """At each generator step: whether the discriminator's gradients are still those of its own last step."""

    def __init__(self) -> None:
        self.before: list[Any] = []
        self.alone: list[bool] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = [None if p.grad is None else p.grad.clone() for p in pl_module.discriminator.parameters()]

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        if optimizer is trainer.optimizers[0]:
            now = [p.grad for p in pl_module.discriminator.parameters()]
            same = [a is b is None or torch.equal(a, b) for a, b in zip(self.before, now, strict=True)]
            self.alone.append(all(same))


def test_generator_steps_leave_the_discriminators_gradients_alone() -> None:
    gradients = _Gradients()
    fit(build(), 3, callbacks=[gradients])
    assert gradients.alone == [True] * 3
    assert all(gradient is not None for gradient in gradients.before)


def test_each_trainable_parameter_is_in_exactly_one_optimiser() -> None:
    module = build()
    generator, discriminator = (
        [id(p) for group in optimizer.param_groups for p in group["params"]]
        for optimizer in module.configure_optimizers()  # type: ignore[union-attr]
    )
    assert sorted(generator + discriminator) == sorted(id(p) for p in module.parameters() if p.requires_grad)
    assert set(generator) == {id(p) for p in module.generator.parameters()}
    assert set(discriminator) == {id(p) for p in module.discriminator.parameters()}


def test_resumed_run_equals_unbroken_run_bit_for_bit(tmp_path: Path) -> None:
    unbroken, resumed = build(penalty_every=3), build(penalty_every=3)
    end = fit(unbroken, 6)
    fit(build(penalty_every=3), 4).save_checkpoint(tmp_path / "at4.ckpt")
    torch.manual_seed(123)
    again = fit(resumed, 6, start=4, checkpoint=tmp_path / "at4.ckpt")
    assert equal(unbroken.state_dict(), resumed.state_dict())
    for one, other in zip(end.optimizers, again.optimizers, strict=True):
        assert all(equal(a, b) for a, b in zip(one.state.values(), other.state.values(), strict=True))


def test_micro_batches_train_and_change_nothing_but_rounding() -> None:
    whole, halves = build(batch_size=4), build(batch_size=4, micro_batches=2)
    batch = next(iter(world.Pairs(count=4)))
    whole.parts(batch)
    torch.testing.assert_close(torch.cat([part.target for part in halves.parts(batch)]), whole.parts(batch)[0].target)
    fit(halves, 1)


def test_critic_gradients_reach_the_frame_but_critics_stay_fixed() -> None:
    module, fresh = build(), build()
    task = module.parts(next(iter(world.Pairs())))[0]
    _, image, terms = module.generator_loss(task)
    assert image.requires_grad
    assert set(terms) >= {"identity", "emotion"}
    fit(module, 2)
    assert equal(module.emotion_critic.state_dict(), fresh.emotion_critic.state_dict())
    assert equal(module.perceptual.state_dict(), fresh.perceptual.state_dict())


def test_module_without_critics_leaves_their_losses_out() -> None:
    module = HEFModule(world.tiny_config(), world.HashEncoder(), world.renderer())
    _, _, terms = module.generator_loss(module.parts(next(iter(world.Pairs())))[0])
    assert not {"identity", "emotion"} & set(terms)


def test_animate_uses_the_average() -> None:
    module = build()
    coefficients, placement = world.faces(3, batch_generator(0, 0))
    code = module.encoder.encode_text(["a", "b", "c"])
    source = torch.rand(1, 3, 16, 16)

    def frames() -> torch.Tensor:
        return module.animate(source, coefficients[:1], placement[:1], coefficients, placement, code)

    before = frames()
    assert before.shape == (3, 3, 16, 16)
    with torch.no_grad():
        for parameter in module.generator.parameters():
            parameter.add_(1.0)
    assert torch.equal(frames(), before)
    module.average.update(module.generator, 10_000)
    assert not torch.equal(frames(), before)


def test_evaluation_reports_finite_figures_beside_those_of_copying() -> None:
    module, pairs = build(), iter(world.Pairs())
    rows = evaluate([next(pairs) for _ in range(2)], module.reenact)
    assert set(rows) == {"PSNR", "L1", "flow_error_px", "copy_PSNR", "copy_L1", "still_flow_error_px"}
    assert rows["flow_error_px"] < 1e-3 < rows["still_flow_error_px"]


def test_checkpoint_of_another_width_is_one_line() -> None:
    with pytest.raises(UserError, match=r"weight 'generator\..*' has shape \[.*\].*needs \[.*\]"):
        build().load_state_dict(build(width=4).state_dict())


def test_half_precision_is_refused() -> None:
    module = build()
    trainer = pl.Trainer(max_steps=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
                         accelerator="cpu", enable_checkpointing=False, precision="16-true")  # fmt: skip
    with pytest.raises(UserError, match="16-true"):
        trainer.fit(module, DataLoader(world.Pairs(), batch_size=None))


def test_bf16_trains() -> None:
    trainer = fit(build(penalty_every=1), 2, precision="bf16-mixed")
    assert all(math.isfinite(float(value)) for value in trainer.logged_metrics.values())


class _SaveRank(pl.Callback):
    """Leaves each rank's weights, and what its batches held, in a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(float(batch.target.double().sum()))

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        optimizers = [optimizer.state_dict() for optimizer in trainer.optimizers]
        left = {"weights": pl_module.state_dict(), "seen": self.seen, "optimizers": optimizers}
        torch.save(left, f"{self.folder}/rank{trainer.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_end_with_equal_weights_from_batches_of_their_own(tmp_path: Path) -> None:
    options = {"devices": 2, "strategy": "ddp_fork_find_unused_parameters_true", "accelerator": "cpu"}
    module = build(penalty_every=2, batch_size=4, micro_batches=2)
    fit(module, 3, callbacks=[_SaveRank(str(tmp_path))], **options)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert {name.split(".")[0] for name in first["weights"]} == {"generator", "discriminator", "average"}
    assert equal(first["weights"], second["weights"])
    for one, other in zip(first["optimizers"], second["optimizers"], strict=True):
        assert all(equal(one["state"][key], other["state"][key]) for key in one["state"])
    assert len(first["seen"]) == len(second["seen"]) == 3
    assert not set(first["seen"]) & set(second["seen"])
