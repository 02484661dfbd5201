import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lightning_modules.ame.losses import (
    contrastive_loss,
    logit_scale,
    multi_positive_nce,
    negative_weights,
    positives,
)


def brute_force(logits: torch.Tensor, positive: torch.Tensor, weights: torch.Tensor) -> float:
    rows = []
    for i in range(len(logits)):
        negatives = sum(float(weights[i, n]) * math.exp(logits[i, n]) for n in range(len(logits)) if not positive[i, n])
        own = [p for p in range(len(logits)) if positive[i, p]]
        rows.append(sum(math.log(1 + negatives / math.exp(logits[i, p])) for p in own) / len(own))
    return sum(rows) / len(rows)


@given(st.integers(0, 10_000))
def test_multi_positive_nce_is_its_formula(seed: int) -> None:
    torch.manual_seed(seed)
    emotion, level = torch.randint(3, (7,)), torch.randint(1, 4, (7,))
    logits, positive = torch.randn(7, 7) * 3, positives(emotion, level)
    weights = negative_weights(emotion, level, 0.3)
    assert multi_positive_nce(logits, positive, weights).item() == torch.tensor(
        brute_force(logits, positive, weights)
    ).float().item() or math.isclose(
        multi_positive_nce(logits, positive, weights).item(), brute_force(logits, positive, weights), rel_tol=1e-4
    )


def test_with_distinct_labels_it_is_info_nce() -> None:
    logits = torch.randn(6, 6)
    loss = multi_positive_nce(logits, torch.eye(6, dtype=torch.bool), 1 - torch.eye(6))
    assert torch.allclose(loss, F.cross_entropy(logits, torch.arange(6)))


def test_equals_are_not_pushed_apart() -> None:
    logits = torch.randn(4, 4, requires_grad=True)
    loss = multi_positive_nce(logits, torch.ones(4, 4, dtype=torch.bool), torch.zeros(4, 4))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert torch.isfinite(gradient).all()


def test_neighbouring_levels_are_softer_negatives() -> None:
    emotion, level = torch.tensor([4, 4, 4, 2]), torch.tensor([1, 2, 3, 1])
    weights = negative_weights(emotion, level, 0.25)
    assert weights[0].tolist() == [0, 0.25, 1, 1]
    assert weights[1].tolist() == [0.25, 0, 0.25, 1]
    assert torch.equal(weights, weights.T)


def test_contrastive_loss_is_symmetric_and_falls_with_agreement() -> None:
    vectors = F.normalize(torch.randn(6, 16), dim=-1)
    other = F.normalize(torch.randn(6, 16), dim=-1)
    positive, weights, scale = torch.eye(6, dtype=torch.bool), 1 - torch.eye(6), torch.tensor(10.0)
    assert torch.allclose(
        contrastive_loss(vectors, other, scale, positive, weights),
        contrastive_loss(other, vectors, scale, positive, weights),
    )
    agreeing = contrastive_loss(vectors, vectors, scale, positive, weights)
    assert agreeing < contrastive_loss(vectors, other, scale, positive, weights)


def test_temperature_is_clamped() -> None:
    assert logit_scale(torch.tensor(50.0)) == 100
    assert torch.isclose(logit_scale(torch.tensor(2.0)), torch.tensor(math.exp(2.0)))
