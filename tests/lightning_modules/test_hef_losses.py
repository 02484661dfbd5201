"""HEF's losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from face3d.grid import warp
from lightning_modules.hef import losses
from lightning_modules.hef.flow import Flows
from lightning_modules.hef.layers import RandomFeatures, resize
from lightning_modules.hef.losses import endpoint_error
from metrics.functional.image import frame_psnr


def constant_flows(x: float, y: float, sizes: tuple[int, ...] = (8, 16)) -> Flows:
    flows = [torch.tensor([x, y])[None, :, None, None].expand(2, 2, s, s).clone() for s in sizes]
    return Flows(flows, [torch.ones(2, 1, s, s) for s in sizes])


def test_pixel_loss_weighs_regions() -> None:
    true, weight = torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4)
    weight[..., 0] = 5
    assert float(losses.pixel_loss(true + 0.5, true, weight)) == pytest.approx(0.5 * (12 + 20) / 16)


def test_region_map_peaks_at_mouth_and_eyes() -> None:
    points = torch.zeros(1, 68, 2)
    points[:, 48:68] = torch.tensor([0.0, 0.5]) + 0.2 * torch.randn(20, 2)
    points[:, 36:42] = torch.tensor([-0.4, -0.3]) + 0.05 * torch.randn(6, 2)
    points[:, 42:48] = torch.tensor([0.4, -0.3]) + 0.05 * torch.randn(6, 2)
    region = losses.region_map(points, 64)
    assert region.shape == (1, 1, 64, 64)
    assert 0 <= float(region.min()) <= float(region.max()) <= 1
    middle = points[0, 48:68].mean(0)
    column, row = ((middle + 1) * 32).long().tolist()
    assert float(region[0, 0, row, column]) > 0.9
    assert float(region[0, 0, 0, 0]) < 0.05


def test_adversarial_losses_at_zero_and_far() -> None:
    zero = torch.zeros(4)
    log2 = float(torch.log(torch.tensor(2.0)))
    assert float(losses.generator_adversarial_loss(zero)) == pytest.approx(log2)
    assert float(losses.discriminator_adversarial_loss(zero, zero)) == pytest.approx(2 * log2)
    assert float(losses.discriminator_adversarial_loss(zero + 50, zero - 50)) == pytest.approx(0, abs=1e-6)


def test_gradient_penalty_of_a_linear_judge() -> None:
    frames = torch.randn(2, 3, 4, 4, requires_grad=True)
    slope = torch.randn(3, 4, 4)
    penalty = losses.gradient_penalty((frames * slope).sum(dim=(1, 2, 3)), frames)
    assert float(penalty) == pytest.approx(float(slope.square().sum() / 2), rel=1e-5)


def test_gradient_penalty_reaches_the_judge() -> None:
    judge, frames = nn.Conv2d(3, 1, 4), torch.randn(2, 3, 4, 4, requires_grad=True)
    losses.gradient_penalty(judge(frames).flatten(), frames).backward()
    assert float(judge.weight.grad.abs().sum()) > 0


def test_identity_and_emotion_losses() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert float(losses.identity_loss(a, 3 * a)) == pytest.approx(0, abs=1e-6)
    assert float(losses.identity_loss(a, b)) == pytest.approx(1)
    assert float(losses.emotion_loss(a, b)) == pytest.approx(2)
    assert float(losses.emotion_loss(a, 3 * a)) == pytest.approx(0, abs=1e-6)


def test_warp_loss_is_zero_for_the_true_flow() -> None:
    source, flow = torch.rand(2, 3, 16, 16), constant_flows(4 / 16, 0.0, sizes=(16,)).flows[0]
    target = warp(source, flow)
    assert float(losses.warp_loss([resize(target, 8), target], target)) == pytest.approx(0, abs=1e-6)
    assert float(losses.warp_loss([source], target)) > 0.05


def test_motion_loss_counts_seen_skin_only() -> None:
    motion, seen = torch.zeros(2, 2, 16, 16), torch.zeros(2, 1, 16, 16)
    seen[..., :8] = 1
    motion[:, 0, :, 8:] = 99.0
    flows = constant_flows(losses.CELL, 0.0)
    assert float(losses.motion_loss(flows, motion, seen)) == pytest.approx(0.5, rel=1e-4)
    assert float(losses.motion_loss(constant_flows(0, 0), motion, seen)) == 0


def test_motion_loss_without_any_skin_is_zero() -> None:
    assert float(losses.motion_loss(constant_flows(1, 1), torch.zeros(2, 2, 16, 16), torch.zeros(2, 1, 16, 16))) == 0


def test_smoothness_is_the_slope_at_every_scale() -> None:
    assert float(losses.smoothness_loss(constant_flows(0.3, -0.2))) == 0
    values = []
    for size in (8, 16):
        ramp = torch.linspace(0, 1, size)[None, None, None].expand(1, 2, size, size)
        values.append(float(losses.smoothness_loss(Flows([ramp], [ramp[:, :1]]))))
    assert values[0] == pytest.approx(values[1], rel=0.1)


def test_schedules_of_weights() -> None:
    assert [losses.warp_weight(k, 10) for k in (0, 10, 99)] == pytest.approx([1, 0.1, 0.1])
    assert [losses.adversarial_weight(k, 10) for k in (0, 5, 99)] == pytest.approx([0, 0.5, 1])
    assert losses.adversarial_weight(0, 0) == 0


def test_random_features_are_the_same_everywhere_and_see_differences() -> None:
    torch.manual_seed(1)
    first = RandomFeatures()
    torch.manual_seed(2)
    second = RandomFeatures()
    image = torch.rand(1, 3, 32, 32)
    for a, b in zip(first(image), second(image), strict=True):
        assert torch.equal(a, b)
    assert float(losses.perceptual_loss(first(image), first(image.flip(3)))) > 0
    assert first.stand_in


def test_psnr_and_endpoint_error_in_their_units() -> None:
    true = torch.zeros(1, 3, 8, 8)
    assert float(frame_psnr(true + 0.2, true)) == pytest.approx(20.0, rel=1e-5)
    flow, seen = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    flow[:, 0], flow[:, 1] = 3 * 2 / 8, 4 * 2 / 8
    seen[..., :4] = 1
    assert float(endpoint_error(flow, torch.zeros_like(flow), seen)) == pytest.approx(5.0)


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
