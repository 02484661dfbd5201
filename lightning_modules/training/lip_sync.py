"""The lip-sync loss of EAC and HEF: the distance of mouths from their audio, as a frozen expert embeds both.

The expert has `audio(mfcc [n, 13, 20])` and `video(frames [n, 5, 3, h, w])`, as SyncNet and `LipSyncExpert` do. One
with `own_crop` is given the crop about the face that SyncNet was trained with.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from conventions.rates import FRAMES_PER_WINDOW, SAMPLES_PER_FRAME
from datamodules.batches import EACSoundBatch
from face3d.coefficients import with_expression
from face3d.renderer import Renderer
from metrics.face_clip import cut_windows, sync_boxes
from metrics.speech_features import STEPS_PER_FRAME, STEPS_PER_WINDOW, syncnet_mfcc

SOUND_FRAMES = FRAMES_PER_WINDOW + 2
"""Frames of a window's audio: one before and one after it, of which the first and the last MFCCs take a part."""


def lip_sync_loss(
    expert: Any,
    sound: Float[Tensor, "n 4480"],
    frames: Float[Tensor, "n 5 3 h w"],
    landmarks: Float[Tensor, "n 5 68 2"],
    heard: Bool[Tensor, " n"],
) -> Float[Tensor, ""]:
    """Mean of 1 - cosine of the embeddings of audio and frames over the windows that are heard; 0 where none is.

    Frames in [-1, 1], landmarks (x, y) in [-1, 1] across them, 16 kHz audio from a frame before each window on.
    """
    with torch.no_grad():
        wanted = expert.audio(window_mfcc(sound))
    shown = _cropped(frames, landmarks) if expert.own_crop else frames
    distance = 1 - F.cosine_similarity(expert.video(shown), wanted, dim=1)
    return torch.where(heard, distance, 0.0).sum() / heard.sum().clamp(min=1)


def window_mfcc(sound: Float[Tensor, "n 4480"]) -> Float[Tensor, "n 13 20"]:
    """The MFCC steps of each window: those of the whole audio, but for its first frame."""
    steps = slice(STEPS_PER_FRAME, STEPS_PER_FRAME + STEPS_PER_WINDOW)
    return torch.stack([syncnet_mfcc(one)[steps].T for one in sound])


def _cropped(frames: Tensor, landmarks: Tensor) -> Float[Tensor, "n 5 3 224 224"]:
    height, width = frames.shape[-2:]
    boxes = torch.cat([sync_boxes(points, width, height) for points in landmarks.detach()])
    return cut_windows(frames.flatten(0, 1), boxes).unflatten(0, (-1, FRAMES_PER_WINDOW))


def random_starts(mask: Bool[Tensor, "b t"]) -> Int[Tensor, " b"]:
    """First frame of a random window in what the mask shows of each sequence; 0 where that is too short."""
    most = (mask.sum(dim=1) - FRAMES_PER_WINDOW).clamp(min=0)
    return (torch.rand(len(mask)).to(mask.device) * (most + 1)).long().minimum(most)


def window_sound(sound: Float[Tensor, "b samples"], starts: Int[Tensor, " b"]) -> Float[Tensor, "b 4480"]:
    """Audio of the windows with a frame on either side; silence beyond the stretch."""
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
    images, landmarks = (part.unflatten(0, (-1, FRAMES_PER_WINDOW)) for part in (drawn.image, drawn.keypoints))
    heard = mask.sum(dim=1) >= FRAMES_PER_WINDOW
    return lip_sync_loss(expert, window_sound(batch.sound[:clips], starts), images, landmarks, heard)
