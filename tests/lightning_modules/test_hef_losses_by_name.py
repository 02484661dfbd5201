"""Adversarial losses by name, the temporal loss and the schedule, against their formulas."""

import math

import pytest
import torch

from lightning_modules.hef import losses


def test_adversarial_losses_are_their_formulas() -> None:
    real, made = torch.tensor([2.0, -0.5]), torch.tensor([0.25, -3.0])
    assert float(losses.generator_adversarial_loss(made, "hinge")) == pytest.approx((-0.25 + 3.0) / 2)
    hinge = losses.discriminator_adversarial_loss(real, made, "hinge")
    assert float(hinge) == pytest.approx((0 + 1.5) / 2 + (1.25 + 0) / 2)
    soft = [math.log(1 + math.exp(x)) for x in (-2.0, 0.5, 0.25, -3.0)]
    assert float(losses.discriminator_adversarial_loss(real, made)) == pytest.approx(sum(soft) / 2)
    assert float(losses.generator_adversarial_loss(made)) == pytest.approx(
        sum(math.log(1 + math.exp(-x)) for x in (0.25, -3.0)) / 2
    )


def test_temporal_loss_sees_flicker_and_no_constant_error() -> None:
    true = torch.rand(4, 3, 8, 8)
    assert float(losses.temporal_loss(true + 0.3, true)) == pytest.approx(0, abs=1e-6)
    flicker = true.clone()
    flicker[1::2] += 0.2
    assert float(losses.temporal_loss(flicker, true)) == pytest.approx(0.2, abs=1e-6)
    apart = true + torch.tensor([0.0, 0.0, 0.5, 0.5])[:, None, None, None]
    assert float(losses.temporal_loss(apart, true)) == pytest.approx(0, abs=1e-6), "pairs alone are neighbours"


def test_the_cosine_ends_at_zero() -> None:
    assert [losses.rate_factor("cosine", batch, 10) for batch in (0, 5, 10, 99)] == pytest.approx([1, 0.5, 0, 0])
    assert losses.rate_factor("constant", 7, 10) == 1.0
