"""What EAC offers for sets of few people: errors of mean faces that count less, openings by correlation, dropout."""

import numpy as np
import torch

from face3d.morphable import load_model
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.config import BackboneConfig
from lightning_modules.eac.losses import mouth_basis, mouth_opening, opening_loss, with_mean_share
from lightning_modules.eac.network import ExpressionNetwork

BASIS = mouth_basis(load_model("procedural-v1"))


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.arange(12)[None] < torch.tensor([[12], [7]])
    return torch.randn(2, 12, 64), torch.randn(2, 12, 64), mask


def test_a_share_of_the_error_of_the_mean_is_left() -> None:
    predicted, true, mask = batch()
    moved = with_mean_share(predicted, true, mask, 0.25)
    for row, length in enumerate((12, 7)):
        before = (predicted - true)[row, :length].mean(0)
        after = (moved - true)[row, :length].mean(0)
        assert torch.allclose(after, 0.25 * before, atol=1e-5)
        assert torch.allclose(moved[row].diff(dim=0), predicted[row].diff(dim=0), atol=1e-5)
    assert with_mean_share(predicted, true, mask, 1.0) is predicted


def test_opening_loss_is_one_minus_pearsons_correlation() -> None:
    predicted, true, mask = batch()
    expected = []
    for row, length in enumerate((12, 7)):
        one, other = (mouth_opening(values[row, :length], BASIS).numpy() for values in (predicted, true))
        expected.append(1 - np.corrcoef(one, other)[0, 1])
    assert np.isclose(opening_loss(predicted, true, mask, BASIS).item(), np.mean(expected), atol=1e-4)
    moved = predicted * 3 + 1
    assert torch.allclose(opening_loss(moved, true, mask, BASIS), opening_loss(predicted, true, mask, BASIS), atol=1e-3)


def test_a_still_mouth_has_a_finite_gradient() -> None:
    _, true, mask = batch()
    still = torch.zeros(2, 12, 64, requires_grad=True)
    opening_loss(still, true, mask, BASIS).backward()
    assert still.grad is not None
    assert still.grad.isfinite().all()


def test_dropout_acts_in_training_alone_and_adds_no_weights() -> None:
    config = BackboneConfig(width=16, heads=2, layers=1)
    torch.manual_seed(0)
    plain, thinned = ExpressionNetwork(config), ExpressionNetwork(config, dropout=0.5)
    thinned.load_state_dict(plain.state_dict())
    code = EmotionCode(torch.zeros(1, 512), torch.zeros(1, 64), torch.zeros(1))
    given = torch.randn(1, 9, 28, 13), torch.ones(1, 9, dtype=torch.bool), code, torch.zeros(1, 80)
    assert torch.equal(plain.eval()(*given), thinned.eval()(*given))
    thinned.train()
    assert not torch.equal(thinned(*given), thinned(*given))
