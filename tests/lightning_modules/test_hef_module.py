"""HEFModule in Lightning: partition, averages, exact resume, what animate uses, what evaluate reports."""

import math
from pathlib import Path
from typing import Any

import hef_world as world
import pytest
import pytorch_lightning as pl
import torch
from loops import metrics_of, quiet_trainer
from torch import nn
from torch.utils.data import DataLoader

from conventions.errors import UserError
from lightning_modules.ame.conditioning import plain_codes
from lightning_modules.hef.config import HEFWeights
from lightning_modules.hef.module import HEFModule
from lightning_modules.training.optimisers import refuse_half_precision


class Critic(nn.Module):
    """A linear stand-in for the emotion and identity networks."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def features(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return self.layer(images.mean(dim=(2, 3)))

    def embed(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return self.features(images, landmarks)


def build(**changes: Any) -> HEFModule:
    torch.manual_seed(0)
    return HEFModule(world.tiny_config(**changes), world.HashEncoder(), world.renderer(), Critic(), Critic())


def fit(module: HEFModule, steps: int, start: int = 0, checkpoint: Path | None = None, **options: Any) -> pl.Trainer:
    trainer = quiet_trainer(max_steps=steps, **options)
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
    names = {"pixel", "perceptual", "adversarial", "identity", "emotion", "warp", "smoothness"}
    logged = {name.removeprefix("train/"): float(value) for name, value in trainer.logged_metrics.items()}
    assert names | {"generator", "discriminator", "gradient_penalty"} <= logged.keys()
    assert all(math.isfinite(value) for value in logged.values())


def test_the_projected_motion_is_a_loss_only_where_it_is_given() -> None:
    batch = next(iter(world.Pairs()))
    for motion, known in (("rendered", False), ("projected", True)):
        module = build(motion=motion)
        task = module.parts(batch)[0]
        assert ("motion" in module.generator_loss(task)[2]) == (task.motion is not None) == known


def test_without_the_projected_motion_the_end_point_error_stays_a_measure() -> None:
    found = metrics_of(build(), [next(iter(world.Pairs()))])
    assert found["flow_error_px"] == pytest.approx(found["still_flow_error_px"]), "no flow before training"


def test_learning_rates_follow_the_schedule() -> None:
    rates: dict[str, list[float]] = {}

    class Keep(pl.Callback):
        def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
            rates[schedule].append(optimizer.param_groups[0]["lr"])

    for schedule in ("constant", "cosine"):
        rates[schedule] = []
        fit(
            build(schedule=schedule, steps=4, learning_rate=4.0e-3, discriminator_learning_rate=1e-3),
            4,
            callbacks=[Keep()],
        )
    assert rates["constant"] == [4e-3, 1e-3] * 4
    expected = [rate * (1 + math.cos(math.pi * batch / 4)) / 2 for batch in range(4) for rate in (4e-3, 1e-3)]
    assert rates["cosine"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "changes",
    [{"gan": "hinge"}, {"discriminator": "parts"}, {"weights": HEFWeights(temporal=5.0)}, {"schedule": "cosine"}],
)
def test_each_switch_of_the_training_trains(changes: dict[str, Any]) -> None:
    module = build(penalty_every=1, **changes)
    trainer = fit(module, 2)
    logged = {name.removeprefix("train/"): float(value) for name, value in trainer.logged_metrics.items()}
    assert all(math.isfinite(value) for value in logged.values())
    assert ("temporal" in logged) == (module.config.weights.temporal > 0)
    judged = [p for p in module.discriminator.parameters() if p.ndim > 1]  # a bias of hinge's score may stand still
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in judged)


def test_neighbours_need_an_even_part() -> None:
    with pytest.raises(
        UserError, match=r"hef\.weights\.temporal: needs pairs of neighbours; hef\.batch_size 6 in 2 parts"
    ):
        world.tiny_config(batch_size=6, micro_batches=2, weights=HEFWeights(temporal=1.0))


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


class _KeepGradients(pl.Callback):
    """The gradients of each optimiser's first step, before they are clipped, and the norms after."""

    def __init__(self) -> None:
        self.gradients: list[torch.Tensor] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        self.gradients.append(torch.cat(gradients).clone())


def test_micro_batches_give_the_gradients_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HEFModule, "training_codes", lambda self, frames: plain_codes(self.encoder, frames))
    found = []
    for count in (1, 2):
        module = build(batch_size=4, micro_batches=count, penalty_every=1)
        keep = _KeepGradients()
        fit(module, 1, callbacks=[keep])
        found.append((keep.gradients, module.state_dict()))
    (whole, weights), (halves, other) = found
    for name, one, two in zip(("generator", "discriminator"), whole, halves, strict=True):
        assert one.norm() > 1e-3, name
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5 * float(one.abs().max()))
    for key, value in weights.items():
        if not key.startswith("average"):
            assert (value - other[key]).abs().mean() < 1e-4, key


def test_max_steps_counts_batches() -> None:
    trainer = fit(build(), 5)
    assert trainer.global_step == 5
    assert all(int(state["step"]) == 5 for one in trainer.optimizers for state in one.state.values())


def test_each_optimiser_is_clipped_by_its_own_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    clip = HEFModule.on_before_optimizer_step

    def clipped(self: HEFModule, optimizer: torch.optim.Optimizer) -> None:
        clip(self, optimizer)
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat(gradients).norm()))

    monkeypatch.setattr(HEFModule, "on_before_optimizer_step", clipped)
    fit(build(generator_clip=1e-3, discriminator_clip=1e-2), 2)
    assert norms == pytest.approx([1e-3, 1e-2, 1e-3, 1e-2], rel=1e-2)


def test_a_batch_that_micro_batches_do_not_divide_is_one_line() -> None:
    with pytest.raises(UserError, match=r"hef\.micro_batches: 2 does not divide a batch of 3"):
        build(batch_size=4, micro_batches=2).parts(next(iter(world.Pairs(count=3))))


class _Losses(pl.Callback):
    """What training steps return, and the logged losses of both networks."""

    def __init__(self) -> None:
        self.returned: list[torch.Tensor] = []
        self.logged: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.returned.append(outputs["loss"])
        self.logged.append(
            trainer.callback_metrics["train/generator"] + trainer.callback_metrics["train/discriminator"]
        )


def test_callbacks_see_the_loss_of_both_networks() -> None:
    losses, module = _Losses(), build()
    fit(module, 2, callbacks=[losses])
    assert losses.returned[0] > losses.logged[0], "the gradient penalty of batch 0 counts"
    assert losses.returned[1] == losses.logged[1]
    assert not losses.returned[1].requires_grad
    with torch.no_grad():
        module.discriminator.score.weight.fill_(float("nan"))
    fit(module, 1, callbacks=[broken := _Losses()])
    assert broken.returned[0].isnan()


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
    coefficients, placement = world.faces(3, world.batch_generator(0, 0))
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
    module, pairs = build(motion="projected"), iter(world.Pairs())
    found = metrics_of(module, [next(pairs) for _ in range(2)])
    assert set(found) == {"PSNR", "L1", "flow_error_px", "copy_PSNR", "copy_L1", "still_flow_error_px"}
    assert all(math.isfinite(value) for value in found.values())
    assert found["flow_error_px"] < 1e-3 < found["still_flow_error_px"]


def test_samples_are_pictures_of_source_render_output_and_truth() -> None:
    batch = next(iter(world.Pairs()))
    samples = build().samples(batch)
    assert list(samples) == ["source", "render", "output", "truth"]
    assert all(pictures.shape == batch.target.shape and pictures.abs().max() <= 1 for pictures in samples.values())
    assert torch.equal(samples["truth"], samples["render"]), "the frames of this world are the renders themselves"


def test_checkpoint_of_another_width_is_one_line() -> None:
    with pytest.raises(UserError, match=r"weight 'generator\..*' has shape \[.*\].*needs \[.*\]"):
        build().load_state_dict(build(width=4).state_dict())


@pytest.mark.parametrize("precision", ["16-mixed", "16-true"])
def test_half_precision_is_refused(precision: str) -> None:
    with pytest.raises(UserError, match=r"trainer\.precision.*bf16-mixed"):
        refuse_half_precision(precision)
    with pytest.raises(UserError, match="16-true"):
        fit(build(), 1, precision="16-true")


def test_bf16_trains() -> None:
    trainer = fit(build(penalty_every=1), 2, precision="bf16-mixed")
    assert all(math.isfinite(float(value)) for value in trainer.logged_metrics.values())
