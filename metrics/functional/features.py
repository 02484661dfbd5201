"""Distances of frames' features: EFD (emotion), CSIM (identity), accuracy of the shown emotion, Fréchet distance."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.image.fid import _compute_fid


def frame_cosine(generated: Float[Tensor, "t d"], true: Float[Tensor, "#t d"]) -> Float[Tensor, " t"]:
    """Cosine of the angle between each frame's two feature vectors; one true vector may stand for all frames."""
    return F.cosine_similarity(generated.double(), true.double(), dim=-1, eps=1e-12).float()


def emotion_feature_distance(generated: Float[Tensor, "t d"], true: Float[Tensor, "t d"]) -> Float[Tensor, ""]:
    """EFD: cosine distance of features of an emotion network, mean over frames.

    The paper gives no definition of EFD; this one is our own and part of the protocol.

    Args:
        generated: features of the frames.
        true: features of the true frames.

    Returns:
        Mean in 0..2; lower is better.

    Examples:
        >>> emotion_feature_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(1.)
    """
    return torch.nanmean(1 - frame_cosine(generated, true))


def cosine_similarity_of_identity(
    generated: Float[Tensor, "t d"], reference: Float[Tensor, "#t d"]
) -> Float[Tensor, ""]:
    """CSIM: cosine of face-recognition embeddings, mean over frames.

    Args:
        generated: embeddings of the frames.
        reference: embeddings of the true frames, or of the source portrait alone: two different metrics.

    Returns:
        Mean in -1..1; higher is better.

    Examples:
        >>> cosine_similarity_of_identity(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(0.5000)
    """
    return torch.nanmean(frame_cosine(generated, reference))


def emotion_accuracy(
    probabilities: Float[Tensor, "clips classes"], emotions: Int[Tensor, " clips"]
) -> Float[Tensor, ""]:
    """Share of clips whose likeliest class is the wanted one; `probabilities` are means over a clip's frames."""
    return (probabilities.argmax(dim=-1) == emotions).float().mean()


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
