"""FID's mathematics: the Fréchet distance between two Gaussians fitted to features (Heusel et al. 2017)."""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(
    mean_a: Float[Tensor, " d"],
    covariance_a: Float[Tensor, "d d"],
    mean_b: Float[Tensor, " d"],
    covariance_b: Float[Tensor, "d d"],
) -> Float[Tensor, ""]:
    """|mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B)), in float64.

    sqrt(A B) and sqrt(sqrt(A) B sqrt(A)) have the same trace, and the second matrix is symmetric: no complex roots.
    """
    a, b = covariance_a.double(), covariance_b.double()
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    difference = (mean_a.double() - mean_b.double()).square().sum()
    return (difference + a.trace() + b.trace() - 2 * cross).clamp(min=0)


def mean_and_covariance(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and covariance (divided by n - 1) of at least two feature vectors, in float64."""
    if features.shape[0] < 2:
        raise ValueError("a covariance needs at least two feature vectors")
    values = features.double()
    mean = values.mean(dim=0)
    centred = values - mean
    return mean, centred.T @ centred / (features.shape[0] - 1)


def frechet_feature_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Fréchet distance of two sets of features, without a d x d matrix.

    tr sqrt(A B) is the sum of the singular values of Xa Xb^T / sqrt((n - 1)(m - 1)) for centred features X:
    exact, and far cheaper while there are fewer frames than feature numbers.
    """
    if min(a.shape[0], b.shape[0]) < 2:
        raise ValueError("a covariance needs at least two feature vectors")
    a, b = a.double(), b.double()
    mean_a, mean_b = a.mean(dim=0), b.mean(dim=0)
    x, y = (a - mean_a) / (len(a) - 1) ** 0.5, (b - mean_b) / (len(b) - 1) ** 0.5
    cross = torch.linalg.svdvals(x @ y.T).sum()
    total = (mean_a - mean_b).square().sum() + x.square().sum() + y.square().sum() - 2 * cross
    return total.clamp(min=0)
