"""Deep3DFaceRecon's network from its own checkpoint: the alignment, the image that it sees, the 257 coefficients.

Source of layout and constants: sicxu/Deep3DFaceRecon_pytorch, `models/networks.py`, `models/facerecon_model.py`,
`util/preprocess.py`, `test.py`.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from conventions.errors import UserError
from conventions.files import sha256_of
from conventions.weights import DEEP3D, WeightFile, load_strictly
from datamodules.crop import align, published_cut
from face3d.camera import FRAME_SIZE
from face3d.coefficients import EXPRESSION

OUTPUTS = (80, 64, 80, 3, 27, 2, 1)
"""Outputs of the network's heads: identity, expression, texture, angle, light, translation in x and y, and in z."""
FEATURES = 2048

NETWORK_KEY = "net_recon"
"""Where a checkpoint holds the network; beside it lie the states of training, which are not used."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's file and the SHA-256 of its bytes."""

    path: Path
    sha256: str


class Deep3DNetwork(nn.Module):
    """ResNet-50 with seven linear heads; its tensors have the names of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        self.backbone = resnet50(weights=None)
        self.backbone.fc = nn.Identity()  # type: ignore[assignment]
        self.final_layers = nn.ModuleList(nn.Conv2d(FEATURES, count, 1) for count in OUTPUTS)

    def forward(self, pictures: Float[Tensor, "n 3 224 224"]) -> Float[Tensor, "n 257"]:
        """Coefficients of aligned images, RGB in [0, 1]."""
        features = self.backbone(pictures)[:, :, None, None]
        return torch.cat([layer(features) for layer in self.final_layers], dim=1).flatten(1)


def find_checkpoint(given: Path | None, weights: Path | None) -> Path:
    """The checkpoint: `given` (the file, or a folder that holds it), else by its usual name among the weights."""
    if given is None:
        try:
            return DEEP3D.find(weights)
        except UserError as error:
            raise UserError(f"{error}; --deep3d names the file itself") from error
    return DEEP3D.checked(given / DEEP3D.name if given.is_dir() else given)


def identify(path: Path) -> Checkpoint:
    """A checkpoint with its hash."""
    return Checkpoint(path, sha256_of(path))


@functools.lru_cache(maxsize=1)
def open_network(checkpoint: Checkpoint) -> Deep3DNetwork:
    """The network of a checkpoint, ready to measure and kept for the next clip; a `UserError` states what is wrong."""
    path = checkpoint.path
    state = _network_state(DEEP3D.state_dict(path), path)
    with torch.device("meta"):  # no time for random weights that the checkpoint replaces
        network = Deep3DNetwork()
    network.to_empty(device="cpu")
    load_strictly(network, state, path)
    for name, value in state.items():
        if not bool(value.isfinite().all()):
            raise UserError(f"{path}: tensor {name!r} has values that are not finite")
    return network.eval().requires_grad_(False)


def _network_state(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    state = content.get(NETWORK_KEY)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        held = ", ".join(sorted(map(str, content))[:4]) or "nothing"
        raise UserError(
            f"{path}: has no {NETWORK_KEY} of tensors (it contains {held}); expected {DEEP3D.name}'s layout"
        )
    return dict(state)


def transform_params(landmarks: Float[np.ndarray, "t 68 2"], width: int, height: int) -> Float[np.ndarray, "t 5"]:
    """(w0, h0, s, t0, t1) of each frame, float32, as Deep3DFaceRecon writes them, from landmarks in source pixels.

    It counts from the middle of the outermost pixels, on the left and at the bottom, and we from their outer edge.
    """
    params = align(landmarks, width, height)
    params[:, 3:] -= 0.5
    return params.astype(np.float32)


def cut_frame(
    region: UInt8[np.ndarray, "h w 3"], corner: tuple[int, int], params: Float[np.ndarray, "5"]
) -> UInt8[np.ndarray, "224 224 3"]:
    """What the network sees of a frame: the image resized to whole pixels and cut at whole pixels, black beyond it.

    `region` is at least the part of the image under the cut and the filter's margin; `corner` is its (left, top).
    """
    w, h, left, top = (int(value) for value in published_cut(params[None])[0])
    across, down = float(params[0]) / w, float(params[1]) / h
    seen = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + FRAME_SIZE, w), min(top + FRAME_SIZE, h)
    if x0 >= x1 or y0 >= y1:
        return seen
    limits = region.shape[1], region.shape[0]
    low, high = (x0 * across - corner[0], y0 * down - corner[1]), (x1 * across - corner[0], y1 * down - corner[1])
    box = (*low, min(high[0], limits[0]), min(high[1], limits[1]))
    image = Image.fromarray(np.ascontiguousarray(region))
    part = image.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box)
    seen[y0 - top : y1 - top, x0 - left : x1 - left] = np.asarray(part)
    return seen


@torch.no_grad()
def measure(network: Deep3DNetwork, pictures: UInt8[np.ndarray, "n 224 224 3"]) -> Float[np.ndarray, "n 257"]:
    """Coefficients of a few aligned images."""
    return network(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255).numpy()


BATCH = 32


class Deep3DExpression:
    """Expression coefficients of faces, aligned by their landmarks as Deep3DFaceRecon does."""

    name = "Deep3DFaceRecon"
    stand_in = False
    file: ClassVar[WeightFile] = DEEP3D
    num_features = 64

    def __init__(self, path: Path) -> None:
        self.network = open_network(identify(path))

    def coefficients(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Float[Tensor, "t 68 2"]
    ) -> Float[Tensor, "t d"]:
        """Expression coefficients of frames in [-1, 1]; NaN for a frame without landmarks."""
        result = images.new_full((len(images), self.num_features), torch.nan)
        found = landmarks.isfinite().flatten(1).all(dim=1).nonzero()[:, 0].tolist()
        if not found:
            return result
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        height, width = pixels.shape[1:3]
        points = ((landmarks.cpu().double().numpy() + 1) / 2 * [width, height])[found]
        params = transform_params(points, width, height)
        cuts = np.stack([cut_frame(pixels[i], (0, 0), row) for i, row in zip(found, params, strict=True)])
        measured = [measure(self.network, cuts[i : i + BATCH])[:, EXPRESSION] for i in range(0, len(cuts), BATCH)]
        result[found] = torch.from_numpy(np.concatenate(measured)).to(result)
        return result
