"""The Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017), by torchmetrics' formula."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.image.fid import _compute_fid


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Fréchet distance of two sets of at least two features each, in float64; ValueError where there are fewer."""
    if min(a.shape[0], b.shape[0]) < 2:
        raise ValueError("a covariance needs at least two feature vectors")
    a, b = a.double(), b.double()
    return _compute_fid(a.mean(dim=0), torch.cov(a.T), b.mean(dim=0), torch.cov(b.T)).clamp(min=0)
