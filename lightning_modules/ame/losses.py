"""Contrastive learning when many pairs share a label: MEAD has 22 styles, so equals must not be pushed apart."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

MAX_LOGIT_SCALE = 100.0
"""CLIP's clamp: logits are at most 100 times the cosine (Radford et al. 2021)."""


def positives(emotion: Int[Tensor, " b"], level: Int[Tensor, " b"]) -> Bool[Tensor, "b b"]:
    """True where two samples have the same emotion and level; a level that is not known (0) is that of any other."""
    same_level = (level[:, None] == level[None, :]) | (level[:, None] == 0) | (level[None, :] == 0)
    return (emotion[:, None] == emotion[None, :]) & same_level


def negative_weights(emotion: Int[Tensor, " b"], level: Int[Tensor, " b"], softness: float) -> Float[Tensor, "b b"]:
    """Weight of each sample as a negative of another.

    0 for positives, `softness` for a neighbouring level of the same emotion, 1 for all others.
    """
    same = emotion[:, None] == emotion[None, :]
    distance = (level[:, None] - level[None, :]).abs()
    weights = torch.ones_like(distance, dtype=torch.float32)
    weights = weights.masked_fill(same & (distance == 1), softness)
    return weights.masked_fill(positives(emotion, level), 0.0)


def logit_scale(log_scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The learned inverse temperature, at most `MAX_LOGIT_SCALE`."""
    return log_scale.exp().clamp(max=MAX_LOGIT_SCALE)


def multi_positive_nce(
    logits: Float[Tensor, "b n"], positive: Bool[Tensor, "b n"], weights: Float[Tensor, "b n"]
) -> Float[Tensor, ""]:
    """InfoNCE of rows against columns with several positives and weighted negatives; least 0.

    Mean over rows that have positives, and over these positives p, of log(1 + sum_n w_n exp(l_n) / exp(l_p)): SupCon's
    outer mean (Khosla et al. 2020, eq. 2) with the other positives left out of the denominator, so that equals do not
    compete.
    """
    negatives = torch.logsumexp(logits + weights.clamp(min=1e-12).log().masked_fill(positive, -1e4), dim=1)
    pairs = F.softplus(negatives[:, None] - logits).masked_fill(~positive, 0.0)
    counts = positive.sum(1)
    return (pairs.sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


def contrastive_loss(
    first: Float[Tensor, "b d"],
    second: Float[Tensor, "n d"],
    scale: Float[Tensor, ""],
    positive: Bool[Tensor, "b n"],
    weights: Float[Tensor, "b n"],
) -> Float[Tensor, ""]:
    """Symmetric label-aware InfoNCE between two modalities' unit vectors."""
    logits = scale * first @ second.T
    return (multi_positive_nce(logits, positive, weights) + multi_positive_nce(logits.T, positive.T, weights.T)) / 2
