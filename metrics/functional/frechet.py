"""The Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017), by torchmetrics' formula."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.image.fid import _compute_fid


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Fréchet distance of two sets of features, in float64.

    Args:
        a: features of one set.
        b: features of the other.

    Returns:
        The distance, at least 0; lower is better.

    Raises:
        ValueError: a set has fewer than two features.

    Examples:
        >>> features = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> round(frechet_distance(features, features + torch.tensor([3.0, 0.0])).item(), 4)
        9.0
    """
    if min(a.shape[0], b.shape[0]) < 2:
        raise ValueError("a covariance needs at least two feature vectors")
    a, b = a.double(), b.double()
    return _compute_fid(a.mean(dim=0), torch.cov(a.T), b.mean(dim=0), torch.cov(b.T)).clamp(min=0)
