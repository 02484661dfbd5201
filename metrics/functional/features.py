"""Distances between features of frames: EFD (emotion), CSIM (identity) and the accuracy of the shown emotion."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


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
