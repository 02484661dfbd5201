import pytest
import torch

from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.backbones import build_backbone, num_parameters
from lightning_modules.eac.config import BackboneConfig
from lightning_modules.eac.network import ExpressionNetwork, predict_long, stream

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
