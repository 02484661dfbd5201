"""EAC: its backbones, what it offers for sets of few people, and any speech feature that a store has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from loops import quiet_trainer
from small_stages import EAC, encoder
from toy_store import write_store

from conventions.errors import UserError
from datamodules.config import SpeechForm
from datamodules.mead import MEADDataModule
from datamodules.speech_store import add_speech
from face3d.morphable import load_model
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.backbones import build_backbone, num_parameters
from lightning_modules.eac.config import BackboneConfig, EACConfig, EACWeights
from lightning_modules.eac.losses import mouth_basis, mouth_opening, opening_loss, with_mean_share
from lightning_modules.eac.module import EACModule
from lightning_modules.eac.network import ExpressionNetwork, predict_long, speech_form_of, stream

KINDS = ("transformer", "gru", "mlp")
PAPER = {"width": 256, "heads": 8, "layers": 4}


def small(kind: str, future: int = 2) -> BackboneConfig:
    return BackboneConfig(kind, width=32, heads=4, layers=2, past=6, future=future)


def random_code(batch: int) -> EmotionCode:
    vector = torch.nn.functional.normalize(torch.randn(batch, 512), dim=-1)
    return EmotionCode(vector, torch.randn(batch, 64), torch.zeros(batch))


@pytest.fixture(params=[(kind, future) for kind in KINDS for future in (0, 2)], ids=str)
def network(request: pytest.FixtureRequest) -> ExpressionNetwork:
    torch.manual_seed(0)
    network = ExpressionNetwork(small(*request.param)).eval()
    network.sound_statistics.set(torch.ones(13), torch.full((13,), 3.0))
    network.expression_statistics.set(torch.randn(64), torch.rand(64) + 1)
    return network


@pytest.mark.parametrize("sizes", [{}, PAPER])
def test_budgets_are_within_ten_percent(sizes: dict) -> None:
    counts = {kind: num_parameters(build_backbone(BackboneConfig(kind, **sizes))) for kind in KINDS}
    assert max(counts.values()) <= 1.1 * min(counts.values()), counts


def test_padding_has_no_influence(network: ExpressionNetwork) -> None:
    mfcc, code, identity = torch.randn(2, 20, 28, 13), random_code(2), torch.randn(2, 80)
    mask = torch.ones(2, 20, dtype=torch.bool)
    mask[1, 13:] = False
    other = mfcc.clone()
    other[1, 13:] = 100 * torch.randn(7, 28, 13)
    first, second = network(mfcc, mask, code, identity), network(other, mask, code, identity)
    assert torch.allclose(first[mask], second[mask], atol=1e-5)
    alone = network(mfcc[1:, :13], mask[1:, :13], code[1:], identity[1:])
    assert torch.allclose(first[1, :13], alone[0], atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 7, 50, 500])
def test_chunks_equal_one_pass(network: ExpressionNetwork, chunk: int) -> None:
    mfcc, code, identity = torch.randn(1, 61, 28, 13), random_code(1), torch.randn(1, 80)
    whole = network(mfcc, torch.ones(1, 61, dtype=torch.bool), code, identity)[0]
    assert torch.allclose(predict_long(network, mfcc[0], code, identity, chunk), whole, atol=1e-4)


def test_stream_keeps_its_look_ahead(network: ExpressionNetwork) -> None:
    code, identity = random_code(1), torch.randn(1, 80)
    heard = 0

    def pieces():
        nonlocal heard
        for _ in range(20):
            heard += 2
            yield torch.randn(2, 28, 13)

    given = 0
    for expression in stream(network, pieces(), code, identity):
        given += len(expression)
        assert given in (heard, heard - network.look_ahead)
    assert given == 40


def test_a_frame_depends_on_all_frames_up_to_its_look_ahead_and_on_none_beyond(network: ExpressionNetwork) -> None:
    mfcc, code, identity = torch.randn(1, 30, 28, 13), random_code(1), torch.randn(1, 80)
    mask = torch.ones(1, 30, dtype=torch.bool)
    later = mfcc.clone()
    later[:, 20:] += 1
    changed = (network(mfcc, mask, code, identity) - network(later, mask, code, identity)).abs().amax(-1)[0] > 1e-6
    first = 20 - network.look_ahead
    assert changed.tolist() == [False] * first + [True] * (30 - first)


def test_empty_speech_gives_no_frames(network: ExpressionNetwork) -> None:
    assert predict_long(network, torch.zeros(0, 28, 13), random_code(1), torch.zeros(1, 80)).shape == (0, 64)


def test_vector_token_and_identity_matter_each_alone(network: ExpressionNetwork) -> None:
    mfcc, mask = torch.randn(1, 5, 28, 13), torch.ones(1, 5, dtype=torch.bool)
    code, other, identity = random_code(1), random_code(1), torch.randn(1, 80)
    first = network(mfcc, mask, code, identity)
    assert torch.equal(first, network(mfcc, mask, code, identity))
    for changed, person in (
        (EmotionCode(other.vector, code.token, code.level), identity),
        (EmotionCode(code.vector, other.token, code.level), identity),
        (code, torch.randn(1, 80)),
    ):
        assert not torch.allclose(first, network(mfcc, mask, changed, person), atol=1e-4)


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


OWN = """
import numpy as np

class Powers:
    shape, look_ahead, look_behind = (6,), 0, 0

    def __call__(self, waveform, num_frames):
        frames = waveform[: num_frames * 640].reshape(num_frames, 640)
        return np.stack([np.abs(frames).mean(1) ** power for power in range(1, 7)], axis=1)
"""


@pytest.mark.parametrize("speech", ["mfcc", "mel", "own_powers:Powers"])
def test_eac_trains_on_each_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: str) -> None:
    (tmp_path / "own_powers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    config = replace(write_store(tmp_path), speech=speech)
    add_speech(Path(config.store), speech)
    data = MEADDataModule(config, "eac", 4)
    plain = replace(EAC, weights=EACWeights(mouth=0.0, emotion=0.0), speech=data.speech_form)
    module = EACModule(plain, encoder())
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = EACModule.load_from_checkpoint(tmp_path / "own.ckpt").eval()
    assert again.config.speech == data.speech_form
    assert speech_form_of(module.state_dict(), speech) == data.speech_form
    item = data.clip_item(data.test_clips()[0])
    code = again.encoder.encode_text(["happy"])
    made = again.predict_speech(item.speech, code, item.coefficients[:1, :80])
    assert torch.isfinite(made).all()
    assert torch.equal(made, module.eval().predict_speech(item.speech, code, item.coefficients[:1, :80]))


def test_a_network_of_another_feature_is_one_line(tmp_path: Path) -> None:
    data = MEADDataModule(replace(write_store(tmp_path), speech="mel"), "eac", 4)
    module = EACModule(EACConfig(weights=EACWeights(mouth=0.0, emotion=0.0)), encoder())
    with pytest.raises(
        UserError, match=r"built for the speech feature 'mfcc' \[28, 13\], the data hold 'mel' \[4, 80\]"
    ):
        quiet_trainer(max_steps=1).fit(module, datamodule=data)


def test_checkpoints_without_a_feature_are_those_of_mfcc() -> None:
    assert EACConfig().speech == SpeechForm("mfcc", (28, 13))
    module = EACModule(EACConfig(weights=EACWeights(mouth=0.0, emotion=0.0)), encoder())
    assert speech_form_of(module.state_dict(), "mfcc") == SpeechForm()
