"""Distances between features of frames: EFD (emotion), CSIM (identity) and the accuracy of the shown emotion."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def frame_cosine(generated: Float[Tensor, "t d"], true: Float[Tensor, "#t d"]) -> Float[Tensor, " t"]:
    """Cosine of the angle between each frame's two feature vectors; one true vector may stand for all frames."""
    return F.cosine_similarity(generated.double(), true.double(), dim=-1, eps=1e-12).float()


def emotion_feature_distance(generated: Float[Tensor, "t d"], true: Float[Tensor, "t d"]) -> Float[Tensor, ""]:
    """EFD: mean over frames of the cosine distance (0..2) of emotion-network features.

    The paper names EFD without a public definition; this one is the framework's own and part of its protocol.
    """
    return torch.nanmean(1 - frame_cosine(generated, true))


def cosine_similarity_of_identity(
    generated: Float[Tensor, "t d"], reference: Float[Tensor, "#t d"]
) -> Float[Tensor, ""]:
    """CSIM: mean over frames of the cosine (-1..1) of face-recognition embeddings.

    `reference` holds the true frames' embeddings, or the source portrait's alone: two different metrics.
    """
    return torch.nanmean(frame_cosine(generated, reference))


def emotion_accuracy(
    probabilities: Float[Tensor, "clips classes"], emotions: Int[Tensor, " clips"]
) -> Float[Tensor, ""]:
    """Share of clips whose likeliest class is the wanted one; `probabilities` are means over a clip's frames."""
    return (probabilities.argmax(dim=-1) == emotions).float().mean()
