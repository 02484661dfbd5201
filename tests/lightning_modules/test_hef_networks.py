"""Generator, flow and discriminator: shapes, neutral start, the two flow switches."""

import dataclasses

import pytest
import torch
from torch import nn

from conventions.errors import UserError
from face3d.grid import identity_grid, warp
from lightning_modules.hef.config import FlowConfig, HEFConfig
from lightning_modules.hef.discriminator import Discriminator, build_discriminator, cut_out
from lightning_modules.hef.flow import missing_motion
from lightning_modules.hef.generator import Generator
from lightning_modules.hef.layers import ModulatedConvolution, resize

FLOWS = [FlowConfig(), FlowConfig(residual=False), FlowConfig(hierarchical=False)]


def inputs(config: HEFConfig, batch: int = 2) -> tuple[torch.Tensor, ...]:
    size = config.resolution
    image, geometry = torch.rand(batch, 3, size, size) * 2 - 1, torch.rand(batch, 4, size, size)
    emotion = nn.functional.normalize(torch.randn(batch, 512), dim=1)
    motion = torch.zeros(batch, 3, size, size)
    return image, geometry, geometry.flip(3), motion, emotion, torch.randn(batch, 64)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def small() -> HEFConfig:
    return HEFConfig(width=8, max_width=16, style_dim=16)


@pytest.fixture(scope="module")
def projected(small: HEFConfig) -> HEFConfig:
    return dataclasses.replace(small, motion="projected")


def test_scales_and_their_channels() -> None:
    large = HEFConfig(resolution=512, width=32, max_width=384)
    assert large.sizes == large.flow_sizes == (8, 16, 32, 64, 128, 256, 512)
    assert large.channels == (384, 384, 384, 256, 128, 64, 32)
    flat = dataclasses.replace(large, flow=FlowConfig(hierarchical=False))
    assert flat.flow_sizes == (8, 16, 32, 64, 64, 64, 64)


@pytest.mark.parametrize("size", [8, 48, 0])
def test_impossible_resolution_names_the_key(size: int) -> None:
    with pytest.raises(UserError, match=r"^hef\.resolution"):
        HEFConfig(resolution=size)


def test_micro_batches_must_divide() -> None:
    with pytest.raises(UserError, match=r"^hef\.micro_batches: 3"):
        HEFConfig(micro_batches=3)


@pytest.mark.parametrize("flow", FLOWS)
def test_generator_starts_as_a_still_picture(small: HEFConfig, flow: FlowConfig) -> None:
    config = dataclasses.replace(small, flow=flow)
    image, *rest = inputs(config)
    out = Generator(config)(image, *rest)
    assert out.image.shape == image.shape
    assert [f.shape[-1] for f in out.flows.flows] == ([8] * 4 if not flow.hierarchical else [8, 16, 32, 64])
    assert all(float(f.abs().max()) == 0 for f in out.flows.flows)
    gap = (out.image - image).detach().abs().mean()
    assert float(gap) < float(image.abs().mean()) / 3


def test_flow_variants_have_one_parameter_budget(small: HEFConfig) -> None:
    counts = {parameters(Generator(dataclasses.replace(small, flow=flow))) for flow in FLOWS}
    assert len(counts) == 1


@pytest.mark.parametrize("flow", FLOWS)
def test_every_generator_parameter_gets_a_gradient(small: HEFConfig, flow: FlowConfig) -> None:
    torch.manual_seed(0)
    net = Generator(dataclasses.replace(small, flow=flow))
    for name, parameter in net.named_parameters():
        if name.endswith(("head.weight", "colour.weight")):
            nn.init.normal_(parameter, std=0.1)
    out = net(*inputs(small))
    out.image.square().mean().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


@pytest.mark.parametrize("flow", FLOWS)
def test_flow_starts_as_the_motion_of_the_seen_skin(projected: HEFConfig, flow: FlowConfig) -> None:
    config = dataclasses.replace(projected, flow=flow)
    image, source_geometry, geometry, motion, *rest = inputs(config)
    motion[:, 0], motion[:, 2] = 0.1, 1.0
    motion[:, :, :, 32:] = 0
    out = Generator(config)(image, source_geometry, geometry, motion, *rest)
    for field in out.flows.flows:
        half = field.shape[-1] // 2
        torch.testing.assert_close(field[:, 0, :, : half - 1], torch.full_like(field[:, 0, :, : half - 1], 0.1))
        assert float(field[:, 1].detach().abs().max()) == 0
        assert float(field[:, 0, :, half + half // 2 :].detach().abs().sum()) == 0


def test_projected_motion_reaches_the_frame_only_where_it_is_given(small: HEFConfig, projected: HEFConfig) -> None:
    for config in (small, projected):
        torch.manual_seed(0)
        net = Generator(config)
        for name, parameter in net.named_parameters():
            if name.endswith(("head.weight", "colour.weight")):
                nn.init.normal_(parameter, std=0.1)
        image, source_geometry, geometry, motion, *rest = inputs(config)
        first = net(image, source_geometry, geometry, motion, *rest).image
        motion[:, 0], motion[:, 2] = 0.1, 1.0
        assert torch.equal(net(image, source_geometry, geometry, motion, *rest).image, first) == (config is small)
    assert torch.equal(
        Generator(small)(*inputs(small)[:3], None, *inputs(small)[4:]).flows.flows[0], torch.zeros(2, 2, 8, 8)
    )


def test_projected_networks_have_the_weights_that_model_files_hold(projected: HEFConfig) -> None:
    """Files of trained models hold weights of these names and shapes."""
    net = Generator(projected)
    shapes = {name: tuple(p.shape) for name, p in net.state_dict().items()}
    assert shapes["drive_encoder.stem.weight"] == (4, 11, 3, 3)
    assert [shapes[f"flow.blocks.{i}.head.weight"] for i in range(4)] == [(3, c, 3, 3) for c in (11, 11, 7, 7)]
    assert (len(shapes), parameters(net)) == (132, 63_956)


def test_missing_motion_is_a_mean_over_seen_skin() -> None:
    motion = torch.zeros(1, 3, 4, 4)
    motion[0, :, 0, 0] = torch.tensor([0.5, -0.25, 1.0])
    motion[0, :2, 0, 1] = 9.0
    missing = missing_motion(motion, torch.full((1, 2, 2, 2), 0.1), unit=0.5)
    torch.testing.assert_close(missing[0, :, 0, 0], torch.tensor([0.8, -0.7, 0.25]))
    assert float(missing[0, :, 1].abs().sum()) == 0


def test_residual_flow_is_the_sum_of_its_scales(small: HEFConfig) -> None:
    torch.manual_seed(0)
    net = Generator(small)
    heads = [block.head for block in net.flow.blocks]
    nn.init.constant_(heads[0].bias, 0.5)
    nn.init.constant_(heads[2].bias, 0.25)
    flows = net(*inputs(small)).flows.flows
    first, third = 0.5 * 2 / 8, 0.25 * 2 / 32
    for flow, expected in zip(flows, (first, first, first + third, first + third), strict=True):
        torch.testing.assert_close(flow, torch.full_like(flow, expected))


def test_whole_flow_forgets_the_scale_below(small: HEFConfig) -> None:
    net = Generator(dataclasses.replace(small, flow=FlowConfig(residual=False)))
    nn.init.constant_(net.flow.blocks[0].head.bias, 0.5)
    flows = net(*inputs(small)).flows.flows
    assert float(flows[0].abs().min()) > 0
    assert all(float(f.abs().max()) == 0 for f in flows[1:])


def test_one_pixel_of_flow_moves_the_source_by_one_pixel(small: HEFConfig) -> None:
    net = Generator(small)
    nn.init.constant_(net.flow.blocks[-1].head.bias, 0.0)
    with torch.no_grad():
        net.flow.blocks[-1].head.bias[0] = 1.0
        net.flow.blocks[-1].head.bias[2] = 50.0
    image, *rest = inputs(small)
    out = net(image, *rest)
    torch.testing.assert_close(out.image[..., :-1], image[..., 1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.image, warp(image, out.flows.flows[-1]), atol=1e-4, rtol=1e-4)


def test_source_is_encoded_once_and_serves_many_frames(small: HEFConfig) -> None:
    net = Generator(small).eval()
    image, source_geometry, *rest = inputs(small, batch=3)
    code = net.encode_source(image[:1], source_geometry[:1])
    together = net.drive(code.expand(3), *rest).image
    for i in range(3):
        alone = net.drive(code, *(x[i : i + 1] for x in rest)).image
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_emotion_geometry_and_source_each_change_the_frame(projected: HEFConfig) -> None:
    torch.manual_seed(0)
    net = Generator(projected)
    for block in net.synthesis.blocks:
        nn.init.normal_(block.colour.weight, std=0.3)
    first = list(inputs(projected))
    base = net(*first).image
    for position in range(6):
        changed = list(first)
        changed[position] = changed[position].roll(1, 0) + 0.1
        assert not torch.allclose(net(*changed).image, base)


def test_modulated_convolution_equals_modulating_the_weights() -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(3, 5, 7)
    x, style = torch.randn(2, 3, 6, 6), torch.randn(2, 7)
    expected = []
    for sample, scale in zip(x, layer.scales(style), strict=True):
        weight = layer.weight * scale[None, :, None, None]
        weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        out = nn.functional.conv2d(sample[None], weight, padding=1) * (2 / 1.04) ** 0.5
        expected.append(nn.functional.leaky_relu(out + layer.bias[:, None, None], 0.2))
    torch.testing.assert_close(layer(x, style), torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_resize_keeps_a_flow_in_place() -> None:
    x = torch.linspace(-1, 1, 16)[None, None, None].expand(1, 1, 16, 16)
    assert resize(x, 16) is x
    assert float((resize(resize(x, 4), 16) - x)[..., 2:-2].abs().max()) < 1e-6


def test_discriminator_hears_frame_geometry_and_emotion(small: HEFConfig) -> None:
    torch.manual_seed(0)
    net = Discriminator(small)
    image, geometry, _, _, emotion, _ = inputs(small)
    base = net(image, geometry, emotion)
    assert base.shape == (2,)
    assert not torch.allclose(net(image.flip(3), geometry, emotion), base)
    assert not torch.allclose(net(image, geometry.flip(3), emotion), base)
    assert not torch.allclose(net(image, geometry, emotion.flip(0)), base)


def test_parts_are_cut_out_about_their_landmarks() -> None:
    """An image whose colours are its coordinates shows where a cut was made."""
    grid = identity_grid(64, 64, torch.device("cpu")).permute(0, 3, 1, 2).expand(2, -1, -1, -1)
    points = torch.tensor([[-0.2, 0.3], [0.4, 0.3], [0.1, 0.4], [0.1, 0.2]]).expand(2, -1, -1)
    cut = cut_out(grid, points, 16)
    torch.testing.assert_close(cut.mean(dim=(2, 3)), torch.tensor([[0.1, 0.3]] * 2), atol=1e-3, rtol=0)
    assert float(cut[:, 0].max() - cut[:, 0].min()) == pytest.approx(0.8 * 15 / 16, abs=1e-2)


def test_a_mouth_is_judged_beside_the_frame(small: HEFConfig) -> None:
    torch.manual_seed(0)
    net = build_discriminator(dataclasses.replace(small, discriminator="parts"))
    image, geometry, _, _, emotion, _ = inputs(small)
    points = torch.rand(2, 68, 2) * 0.2 - 0.6
    points[:, 48:] += torch.tensor([0.5, 0.9])
    changed = image.clone()
    changed[..., 40:, :] = 0
    before, after = net(image, geometry, emotion, points), net(changed, geometry, emotion, points)
    assert before.shape == (6,)
    assert [bool(torch.isclose(a, b, atol=1e-6)) for a, b in zip(before[2:], after[2:], strict=True)] == [False] * 2 + [
        True
    ] * 2
    assert not torch.allclose(before[:2], after[:2])
