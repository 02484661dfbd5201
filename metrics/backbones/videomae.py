"""FVD's network: VideoMAE (Tong et al. 2022) from a local folder in Hugging Face's layout."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from conventions.errors import UserError
from conventions.weights import VIDEOMAE, WeightFile
from metrics.backbones.protocols import IMAGENET_DEVIATION, IMAGENET_MEAN

FRAMES = 16
"""Frames of a piece: consecutive, at 25 fps; pieces do not overlap."""
BATCH = 4


class VideoMAE:
    """The mean over tokens of the last hidden state of pieces of 16 frames at 224 px."""

    name = "VideoMAE (16 frames, 224 px, mean of the last hidden state)"
    stand_in = False
    file: ClassVar[WeightFile] = VIDEOMAE

    def __init__(self, path: Path) -> None:
        from transformers import VideoMAEModel

        folder = path if path.is_dir() else path.parent
        try:
            model = VideoMAEModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{folder}: is not a VideoMAE model ({str(error).splitlines()[0]})") from error
        if model.config.num_frames != FRAMES:
            raise UserError(f"{folder}: takes {model.config.num_frames} frames, expected {FRAMES}")
        self.network: Any = model.eval().requires_grad_(False)
        self.num_features = int(model.config.hidden_size)
        self.size: Any = model.config.image_size

    def features(self, videos: Float[Tensor, "n 16 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of pieces of frames in [-1, 1], resized by bilinear interpolation with smoothing."""
        self.network.to(videos.device)
        mean, deviation = (videos.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        parts = []
        for part in videos.split(BATCH):
            small = F.interpolate(part.flatten(0, 1), (self.size, self.size), mode="bilinear", antialias=True)
            pixels = ((small.clamp(-1, 1) + 1) / 2 - mean) / deviation
            parts.append(self.network(pixels.unflatten(0, (-1, FRAMES))).last_hidden_state.mean(dim=1))
        return torch.cat(parts)
