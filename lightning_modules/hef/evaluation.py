"""HEF's own test metrics: self-reenactment of actors never trained on, and flow against the 3DMM's true motion."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS
from datamodules.batches import HEFBatch
from datamodules.mead import MEADDataModule


@dataclass(frozen=True)
class Reenactment:
    """What a module made of a batch, and what is true."""

    image: Float[Tensor, "b 3 r r"]
    flow: Float[Tensor, "b 2 r r"]
    motion: Float[Tensor, "b 2 r r"]
    seen: Float[Tensor, "b 1 r r"]


def test_batches(data: MEADDataModule, frames: int, device: torch.device) -> Iterator[HEFBatch]:
    """One batch for each basic test clip: some of its frames, evenly spread, from the actor's reference portrait."""
    for clip in data.test_clips("basic"):
        item, reference = data.clip_item(clip), data.reference_frame(clip.actor)
        picked = torch.linspace(0, len(item.frames) - 1, frames).round().long()
        emotion = EMOTIONS.index(item.emotion) if item.emotion else -1
        labels = [torch.full((frames,), value) for value in (emotion, item.level or -1, item.style)]
        yield HEFBatch(
            reference.image.expand(frames, -1, -1, -1),
            item.frames[picked],
            reference.coefficients.expand(frames, -1),
            item.coefficients[picked],
            reference.placement.expand(frames, -1),
            item.placement[picked],
            *labels,
        ).to(device)


def psnr(generated: Float[Tensor, "b 3 r r"], true: Float[Tensor, "b 3 r r"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each frame in dB; frames in [-1, 1]."""
    return 10 * torch.log10(4 / (generated - true).square().mean(dim=(1, 2, 3)).clamp(min=1e-10))


def endpoint_error(
    flow: Float[Tensor, "b 2 r r"], motion: Float[Tensor, "b 2 r r"], seen: Float[Tensor, "b 1 r r"]
) -> Float[Tensor, " b"]:
    """Mean length of the flow's error over the seen skin of each frame, in pixels of the frame."""
    length = (flow - motion).square().sum(dim=1, keepdim=True).sqrt() * flow.shape[-1] / 2
    return (length * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3)).clamp(min=1)


def score(batch: HEFBatch, made: Reenactment) -> dict[str, Float[Tensor, " b"]]:
    """Each frame's metrics; `copy_` is the source frame itself in place of the generated one, `still_` no flow.

    The true motion of seen skin is also part of the drive, so `flow_error_px` tells how much of it the flow field keeps
    at full resolution, not whether motion could be guessed.
    """
    return {
        "PSNR": psnr(made.image, batch.target),
        "L1": (made.image - batch.target).abs().mean(dim=(1, 2, 3)),
        "flow_error_px": endpoint_error(made.flow, made.motion, made.seen),
        "copy_PSNR": psnr(batch.source, batch.target),
        "copy_L1": (batch.source - batch.target).abs().mean(dim=(1, 2, 3)),
        "still_flow_error_px": endpoint_error(torch.zeros_like(made.flow), made.motion, made.seen),
    }


def evaluate(batches: Iterable[HEFBatch], reenact: Callable[[HEFBatch], Reenactment]) -> dict[str, float]:
    """Mean of each metric over all frames of `batches`."""
    rows: dict[str, list[Tensor]] = {}
    for batch in batches:
        for name, values in score(batch, reenact(batch)).items():
            rows.setdefault(name, []).append(values)
    means = {name: float(torch.cat(values).mean()) for name, values in rows.items()}
    assert all(math.isfinite(value) for value in means.values()), means
    return means
