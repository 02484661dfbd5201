"""Windows of a batch for EAC's lip-sync loss: renders of the prediction, and the sound that belongs to them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from conventions.rates import FRAMES_PER_WINDOW, SAMPLES_PER_FRAME
from datamodules.batches import EACSoundBatch
from face3d.coefficients import with_expression
from face3d.renderer import Renderer
from lightning_modules.training.lip_sync import SOUND_FRAMES, lip_sync_loss


def random_starts(mask: Bool[Tensor, "b t"]) -> Int[Tensor, " b"]:
    """First frame of a random window in what the mask shows of each sequence; 0 where that is too short."""
    most = (mask.sum(dim=1) - FRAMES_PER_WINDOW).clamp(min=0)
    return (torch.rand(len(mask)).to(mask.device) * (most + 1)).long().minimum(most)


def window_sound(sound: Float[Tensor, "b samples"], starts: Int[Tensor, " b"]) -> Float[Tensor, "b 4480"]:
    """Sound of the windows with a frame on either side; silence beyond the stretch."""
    frames = F.pad(sound.unflatten(1, (-1, SAMPLES_PER_FRAME)), (0, 0, 1, SOUND_FRAMES))
    rows = starts[:, None] + torch.arange(SOUND_FRAMES, device=starts.device)
    return frames[torch.arange(len(frames), device=rows.device)[:, None], rows].flatten(1)


def prediction_loss(
    expert: torch.nn.Module, renderer: Renderer, batch: EACSoundBatch, predicted: Float[Tensor, "b t 64"], clips: int
) -> Float[Tensor, ""]:
    """`lip_sync_loss` of a random window of the first clips, drawn in the measured pose and light."""
    mask, predicted = batch.mask[:clips], predicted[:clips]
    starts, last = random_starts(mask), mask.shape[1] - 1
    frames = (starts[:, None] + torch.arange(FRAMES_PER_WINDOW, device=starts.device)).clamp(max=last)
    rows = torch.arange(len(mask), device=starts.device)[:, None]
    made = with_expression(batch.coefficients[rows, frames].flatten(0, 1), predicted[rows, frames].flatten(0, 1))
    drawn = renderer(made, batch.placement[rows, frames].flatten(0, 1))
    images, points = (part.unflatten(0, (-1, FRAMES_PER_WINDOW)) for part in (drawn.image, drawn.keypoints))
    heard = mask.sum(dim=1) >= FRAMES_PER_WINDOW
    return lip_sync_loss(expert, window_sound(batch.sound[:clips], starts), images, points, heard)
