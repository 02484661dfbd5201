"""HEF's own metrics: self-reenactment of actors never trained on, and flow against the 3DMM's true motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.batches import HEFBatch
from metrics.functional.image import frame_psnr


@dataclass(frozen=True)
class Reenactment:
    """What a module made of a batch, and what is true."""

    image: Float[Tensor, "b 3 r r"]
    flow: Float[Tensor, "b 2 r r"]
    motion: Float[Tensor, "b 2 r r"]
    seen: Float[Tensor, "b 1 r r"]


def endpoint_error(
    flow: Float[Tensor, "b 2 r r"], motion: Float[Tensor, "b 2 r r"], seen: Float[Tensor, "b 1 r r"]
) -> Float[Tensor, " b"]:
    """Mean length of the flow's error over the seen skin of each frame, in pixels of the frame."""
    length = (flow - motion).square().sum(dim=1, keepdim=True).sqrt() * flow.shape[-1] / 2
    return (length * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3)).clamp(min=1)


def score(batch: HEFBatch, made: Reenactment) -> dict[str, Float[Tensor, " b"]]:
    """Each frame's metrics; `copy_` is the source frame itself in place of the generated one, `still_` no flow.

    With `hef.motion` projected, the true motion of seen skin is also part of the drive: `flow_error_px` then measures
    how much of it the flow field keeps at full resolution, not whether motion could be found.
    """
    return {
        "PSNR": frame_psnr(made.image, batch.target),
        "L1": (made.image - batch.target).abs().mean(dim=(1, 2, 3)),
        "flow_error_px": endpoint_error(made.flow, made.motion, made.seen),
        "copy_PSNR": frame_psnr(batch.source, batch.target),
        "copy_L1": (batch.source - batch.target).abs().mean(dim=(1, 2, 3)),
        "still_flow_error_px": endpoint_error(torch.zeros_like(made.flow), made.motion, made.seen),
    }


def mean_scores(rows: Sequence[dict[str, Float[Tensor, " b"]]]) -> dict[str, float]:
    """Mean of each metric over all frames."""
    return {name: torch.cat([row[name] for row in rows]).mean().item() for name in rows[0]}
