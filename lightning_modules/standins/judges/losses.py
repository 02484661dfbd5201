"""Losses and the augmentation that judges and critics share."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from face3d.grid import ALIGN_CORNERS
from metrics.functional.landmarks import REGIONS

MAX_MOVE = 0.06
MAX_ZOOM = 0.06
MAX_LIGHT = 0.3
MAX_NOISE = 0.02
BLURRED = 0.25
"""Share of blurred images. A face's signs of emotion are a pixel wide at 64 px: stronger noise or blur hides them."""


def as_float(images: UInt8[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Images in [-1, 1]."""
    return images.float() / 127.5 - 1


def augment(
    images: Float[Tensor, "b 3 s s"], landmarks: Float[Tensor, "b 68 2"]
) -> tuple[Float[Tensor, "b 3 s s"], Float[Tensor, "b 68 2"]]:
    """Images moved, zoomed, relit, blurred and made noisy at random, with their landmarks where they went."""
    count, device = len(images), images.device
    zoom = 1 + MAX_ZOOM * (2 * torch.rand(count, 1, device=device) - 1)
    move = MAX_MOVE * (2 * torch.rand(count, 2, device=device) - 1)
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / zoom[:, 0]
    matrix[:, :, 2] = -move / zoom
    grid = F.affine_grid(matrix, list(images.shape), align_corners=ALIGN_CORNERS)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=ALIGN_CORNERS)
    return degrade(moved), landmarks * zoom[:, None] + move[:, None]


def degrade(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Other light and colour, blur for some, a little noise: what generated frames may look like."""
    count, device = len(images), images.device
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = (1 - torch.rand(count, 1, 1, 1, device=device) / BLURRED).clamp(min=0)
    noise = MAX_NOISE * torch.rand(count, 1, 1, 1, device=device) * torch.randn_like(images)
    return relight(torch.lerp(images, blurred, share) + noise)


def relight(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Images in another light and colour."""
    gain = 1 + MAX_LIGHT * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    shift = MAX_LIGHT * (2 * torch.rand(len(images), 3, 1, 1, device=images.device) - 1)
    return (images * gain + shift).clamp(-1, 1)


def relit_halves(windows: Float[Tensor, "n 5 3 h w"]) -> Float[Tensor, "n 5 3 k w"]:
    """Lower halves in another light, alike in a window's five frames: frames side by side pass for one image."""
    halves = windows[..., windows.shape[-2] // 2 :, :].transpose(1, 2)
    return relight(halves.flatten(2, 3)).view_as(halves).transpose(1, 2)


def mirror(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Half of the images mirrored."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(3), images)


def landmark_loss(found: Float[Tensor, "b 68 2"], true: Float[Tensor, "b 68 2"]) -> Float[Tensor, ""]:
    """Mean distance, in halves of the image's width."""
    return landmark_distances(found, true).mean()


def landmark_distances(found: Float[Tensor, "b n 2"], true: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n"]:
    """Distance of each landmark, with a gradient at 0."""
    return (found - true).square().sum(dim=-1).add(1e-8).sqrt()


def mouth_shape_loss(found: Float[Tensor, "b 68 2"], true: Float[Tensor, "b 68 2"]) -> Float[Tensor, ""]:
    """The same of the mouth's landmarks, each set centred: what LMD measures, and what position errors would drown."""
    mouths = [points[:, REGIONS["mouth"]] for points in (found, true)]
    centred = [mouth - mouth.mean(dim=1, keepdim=True) for mouth in mouths]
    return landmark_distances(*centred).mean()


def identity_loss(embeddings: Float[Tensor, "b d"], person: Int[Tensor, " b"], temperature: float) -> Float[Tensor, ""]:
    """Supervised contrast (Khosla et al. 2020): images of one person attract, those of others repel.

    Images without a second one of the same person in the batch do not count.
    """
    itself = torch.eye(len(person), dtype=torch.bool, device=person.device)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(itself, -torch.inf)
    same = (person[:, None] == person) & ~itself
    likelihood = logits.log_softmax(dim=1).masked_fill(~same, 0.0).sum(dim=1)
    partners = same.sum(dim=1)
    return -(likelihood / partners.clamp(min=1))[partners > 0].sum() / (partners > 0).sum().clamp(min=1)


def sync_loss(audio: Float[Tensor, "n d"], video: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
    """Symmetric InfoNCE: each image window finds its audio among all windows of the batch, and the reverse."""
    logits = -torch.cdist(video, audio).square() / (2 * temperature)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
