"""The flow pyramid: where in the source each pixel of the driven frame comes from, refined from coarse to fine."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from face3d.grid import warp
from lightning_modules.hef.config import BASE_SIZE, HEFConfig
from lightning_modules.hef.layers import ModulatedConvolution, convolution, join, resize

VISIBLE_AT_START = 1.0
"""Bias of the visibility's logit: at first 73 % of each pixel is the warped source."""


@dataclass(frozen=True)
class Flows:
    """Flow and visibility at each scale, coarsest first.

    `flows` are offsets in normalised units ([-1, 1] across the image), `visibilities` in [0, 1]: how much of the
    pixel the warped source explains. Entry i has the size `HEFConfig.flow_sizes[i]`.
    """

    flows: list[Tensor]
    visibilities: list[Tensor]

    def at(self, scale: int, size: int) -> tuple[Tensor, Tensor]:
        """(flow, visibility) of scale number `scale`, resized to `size`."""
        return resize(self.flows[scale], size), resize(self.visibilities[scale], size)


class FlowBlock(nn.Module):
    """One scale: from the state below, the aligned source and the drive to a flow, a visibility and a new state.

    The state has half the channels of the source's features at the next scale, so that upsampling it is cheap. Where
    the 3DMM's motion is known, the flow is this motion at first; else it is zero.
    """

    def __init__(self, channels: int, above: int, below: int, style_dim: int, knows_motion: bool) -> None:
        super().__init__()
        self.fuse = ModulatedConvolution(below + channels + channels // 2, channels // 2, style_dim)
        self.refine = ModulatedConvolution(channels // 2, above // 2, style_dim)
        self.head = convolution(above // 2 + 3 * knows_motion, 3)
        nn.init.zeros_(self.head.weight)
        if knows_motion:
            nn.init.eye_(self.head.weight.data[:2, -3:-1, 1, 1])

    def forward(
        self,
        below: Float[Tensor, "b cb s s"],
        source: Float[Tensor, "b cs s s"],
        drive: Float[Tensor, "b cd s s"],
        motion: Float[Tensor, "b 3 s s"] | None,
        style: Float[Tensor, "b d"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(new state, flow in the units of `motion`, logit of visibility)."""
        state = self.fuse(join(below, source, drive), style)
        state = self.refine(state, style)
        known = state if motion is None else join(state, motion.to(state.dtype))
        out = self.head(known).float()
        return state, out[:, :2], out[:, 2:]


def missing_motion(
    motion: Float[Tensor, "b 3 r r"], flow: Float[Tensor, "b 2 s s"], unit: float
) -> Float[Tensor, "b 3 s s"]:
    """The part of the 3DMM's motion (x, y, seen) that `flow` lacks, mean over a cell's seen skin in `unit`s; and seen.

    A cell at the face's edge moves as its skin does, so that hair and neck are carried along.
    """
    seen = resize(motion[:, 2:], flow.shape[-1])
    wanted = resize(motion[:, :2] * motion[:, 2:], flow.shape[-1]) / seen.clamp(min=1e-4)
    return torch.cat([(wanted - flow) * (seen > 0) / unit, seen], dim=1)


class FlowPyramid(nn.Module):
    """Flow heads at every scale.

    Residual: scale s gets the source already warped by the flow so far, and corrects:
    flow_s = up(flow_{s/2}) + delta_s. Not residual: it gets the plain source, and predicts the whole flow. Not
    hierarchical: the same blocks (and parameters) work at 1/8 of the resolution at most, and the last flow serves all
    scales.

    With `hef.motion` projected, a scale also gets the part of the 3DMM's motion that is still missing (not residual:
    the whole motion). Before training, delta_s is this part: flow starts as the motion of the seen skin and learns the
    rest. With `hef.motion` rendered, flow starts as zero.
    """

    def __init__(self, config: HEFConfig) -> None:
        super().__init__()
        self.residual, self.hierarchical = config.flow.residual, config.flow.hierarchical
        self.sizes = config.flow_sizes
        channels = config.channels
        above = (*channels[1:], channels[-1])
        below = (0, *(c // 2 for c in channels[1:]))
        self.blocks = nn.ModuleList(
            FlowBlock(*numbers, config.style_dim, config.knows_motion)
            for numbers in zip(channels, above, below, strict=True)
        )

    def forward(
        self,
        source: list[Tensor],
        drive: list[Tensor],
        motion: Float[Tensor, "b 3 r r"] | None,
        style: Float[Tensor, "b d"],
    ) -> Flows:
        """Flows from source and drive features (coarsest first) and, where it is known, the 3DMM's motion.

        `motion` is (x, y, seen).
        """
        finest = source[-1]
        no_flow = torch.zeros(len(finest), 2, *finest.shape[2:], device=finest.device)
        still = no_flow, torch.full_like(no_flow[:, :1], VISIBLE_AT_START)
        state, before = drive[0][:, :0], still
        flows = Flows([], [])
        for size, block, appearance, geometry in zip(self.sizes, self.blocks, source, drive, strict=True):
            flow, logit = (resize(x, size) for x in (before if self.residual else still))
            unit = 2 / (size if self.residual else BASE_SIZE)
            missing = None if motion is None else missing_motion(motion, flow, unit)
            appearance, geometry = resize(appearance, size), resize(geometry, size)
            aligned = warp(appearance, flow).to(geometry.dtype) if self.residual else appearance
            state, delta, logit_delta = block(resize(state, size), aligned, geometry, missing, style)
            before = flow + delta * unit, logit + logit_delta
            flows.flows.append(before[0])
            flows.visibilities.append(before[1].sigmoid())
        return flows if self.hierarchical else self._last_for_all(flows)

    def _last_for_all(self, flows: Flows) -> Flows:
        count = len(flows.flows)
        return Flows(flows.flows[-1:] * count, flows.visibilities[-1:] * count)
