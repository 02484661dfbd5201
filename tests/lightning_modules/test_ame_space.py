"""The contract of the emotion space, on untrained stand-ins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from lightning_modules.ame.config import AMEConfig, AudioConfig, TextConfig
from lightning_modules.ame.emotion import EmotionEncoder, RefusedStyle, slerp
from lightning_modules.ame.encoders import AudioEncoder
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.prompts import all_style_prompts
from lightning_modules.ame.sources import ClipText
from lightning_modules.ame.space import EmotionSpace, build_space
from lightning_modules.ame.towers import ClipParts, GPT2Parts, TextCache, load_clip, load_gpt2
from lightning_modules.standins.config import ClipPriorConfig, GPT2PriorConfig
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.standins.priors.gpt2 import GPT2Prior

ENCODINGS = ("clip", "gpt2", "onehot")


@pytest.fixture(scope="module")
def clip() -> ClipParts:
    torch.manual_seed(0)
    return ClipPrior(ClipPriorConfig()).parts()


@pytest.fixture(scope="module")
def gpt2() -> GPT2Parts:
    torch.manual_seed(0)
    return GPT2Prior(GPT2PriorConfig()).parts()


@pytest.fixture(params=ENCODINGS)
def space(request: pytest.FixtureRequest, clip: ClipParts, gpt2: GPT2Parts) -> EmotionSpace:
    return build_space(AMEConfig(text=TextConfig(request.param)), clip, gpt2).eval()


def test_every_modality_gives_unit_vectors_and_tokens(space: EmotionSpace) -> None:
    mel, mask = torch.rand(2, 44, 80) * -60, torch.ones(2, 44, dtype=torch.bool)
    codes = [
        space.encode_text(["very happy", "a sad face"]),
        space.encode_image(torch.rand(2, 3, 48, 48) * 2 - 1),
        space.encode_audio(mel, mask),
    ]
    for code in codes:
        assert torch.allclose(code.vector.norm(dim=-1), torch.ones(2), atol=1e-5)
        assert code.token.shape == (2, 64)
        assert ((code.level >= 0) & (code.level <= 3)).all()


def test_padding_of_sound_has_no_influence(space: EmotionSpace) -> None:
    mel, mask = torch.rand(1, 50, 80) * -60, torch.ones(1, 50, dtype=torch.bool)
    mask[:, 37:] = False
    alone = space.encode_audio(mel[:, :37], mask[:, :37]).vector
    assert torch.allclose(space.encode_audio(mel, mask).vector, alone, atol=1e-5)
    mel[:, 37:] = 0
    assert torch.allclose(space.encode_audio(mel, mask).vector, alone, atol=1e-5)


@pytest.mark.parametrize("positions", ["convolution", "none"])
def test_the_order_of_a_voices_frames_counts_where_it_is_known(positions: Literal["convolution", "none"]) -> None:
    """What comes after the stem is, without positions, a function of the set of frames alone."""
    torch.manual_seed(0)
    encoder = AudioEncoder(AudioConfig(width=32, heads=2, layers=2, positions=positions)).eval()
    steps, order = torch.randn(1, 40, 32), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    found = []
    for features in (steps, steps[:, order]):
        encoder.stem = _Given(features)
        found.append(encoder(torch.zeros(1, 160, 80), torch.ones(1, 160, dtype=torch.bool)))
    apart = float((found[0] - found[1]).detach().norm())
    assert apart > 0.01 if positions == "convolution" else apart < 1e-5


class _Given(nn.Module):
    """A stem whose features are known."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, mel: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.features, mask[:, ::4]


def test_an_empty_text_is_refused(space: EmotionSpace) -> None:
    with pytest.raises(UserError, match="empty"):
        space.encode_text(["  "])


def test_a_space_without_image_tower_refuses_images() -> None:
    space = build_space(AMEConfig(text=TextConfig("onehot")))
    assert space.modalities == ("text", "audio")
    with pytest.raises(UserError, match="does not take image; it takes text, audio"):
        space.encode_image(torch.zeros(1, 3, 8, 8))


def test_an_encoder_refuses_what_it_does_not_define() -> None:
    with pytest.raises(UserError, match="does not take text"):
        EmotionEncoder().encode_text(["happy"])


def test_one_hot_mixes_the_parts_of_a_compound_and_refuses_a_new_style() -> None:
    space = build_space(AMEConfig(text=TextConfig("onehot")))
    codes = space.encode_text(["very happily surprised", "very happy", "very surprised", "extremely joyful"])
    middle = F.normalize(codes.vector[1] + codes.vector[2], dim=-1)
    assert torch.allclose(codes.vector[0], middle, atol=1e-5)
    assert torch.equal(codes.vector[1], codes.vector[3])
    with pytest.raises(RefusedStyle, match=r"cannot express 'appalled'; it takes angry, .*"):
        space.encode_text(["appalled"])


def test_open_vocabularies_tell_levels_and_new_styles_apart(clip: ClipParts, gpt2: GPT2Parts) -> None:
    for encoding in ("clip", "gpt2"):
        space = build_space(AMEConfig(text=TextConfig(encoding)), clip, gpt2)
        vectors = space.encode_text(["very happy", "slightly happy", "appalled"]).vector
        assert (vectors @ vectors.T)[~torch.eye(3, dtype=torch.bool)].max() < 0.9999


def test_mixtures_go_from_one_emotion_to_the_other(space: EmotionSpace) -> None:
    first, second = space.encode_text(["happy"]), space.encode_text(["angry"])
    ends = [space.mix(first, second, torch.tensor([share])).vector for share in (0.0, 1.0)]
    assert torch.allclose(ends[0], first.vector, atol=1e-4)
    assert torch.allclose(ends[1], second.vector, atol=1e-4)
    half = space.mix(first, second, torch.tensor([0.5])).vector
    assert torch.allclose(half @ first.vector.T, half @ second.vector.T, atol=1e-4)
    assert torch.isfinite(slerp(first.vector, first.vector, torch.tensor([0.3]))).all()


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0, 2.7, 3.0])
def test_the_level_slider_reads_what_it_was_set_to(space: EmotionSpace, level: float) -> None:
    code = space.encode_text(["happy", "sad"])
    moved = space.with_level(code, torch.full((2,), level))
    assert torch.allclose(moved.level, torch.full((2,), level), atol=1e-3)
    assert torch.equal(moved.vector, code.vector)


def test_frozen_towers_are_neither_trained_nor_saved(clip: ClipParts, gpt2: GPT2Parts) -> None:
    for encoding in ENCODINGS:
        module = AMEModule(AMEConfig(text=TextConfig(encoding)), clip, gpt2)
        trained = {name for name, weight in module.named_parameters() if weight.requires_grad}
        assert not any("tower" in name for name in trained)
        assert not any("tower" in name for name in module.state_dict())
        assert trained <= set(module.state_dict())
        module.train()
        assert not clip.model.training
        module.load_state_dict(module.state_dict())


def test_the_text_tower_embeds_each_text_once(clip: ClipParts, monkeypatch: pytest.MonkeyPatch) -> None:
    space = build_space(AMEConfig(), clip)
    first = space.encode_text(["happy", "sad"]).vector
    monkeypatch.setattr(clip.model, "encode_text", lambda *_: pytest.fail("embedded again"))
    assert torch.equal(space.encode_text(["sad", "happy"]).vector, first.flip(0))


def test_features_of_training_texts_do_not_depend_on_what_was_embedded_before() -> None:
    def batch_dependent(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text) + 100 * len(texts))] for text in texts])

    def features(*orders: Sequence[str]) -> torch.Tensor:
        cache = TextCache(batch_dependent, common=["a", "bb"])
        for texts in orders:
            cache(texts, torch.device("cpu"))
        return cache(["bb", "a"], torch.device("cpu"))

    assert torch.equal(features(), features(["a"], ["other"]))
    small = TextCache(batch_dependent, common=["a", "bb"], capacity=3)
    before = small(["a"], torch.device("cpu"))
    small(["c", "d"], torch.device("cpu"))
    assert torch.equal(small(["a"], torch.device("cpu")), before), "also after the cache was emptied"


def test_directions_are_taken_from_the_middle_of_what_was_seen(clip: ClipParts) -> None:
    space = build_space(AMEConfig(), clip)
    assert isinstance(space.text, ClipText)
    assert space.image is not None
    raw = F.normalize(space.text.cache(all_style_prompts(), space.text.device), dim=-1)
    assert torch.allclose(space.text.origin, raw.mean(0), atol=1e-6)
    spread = space.encode_text(all_style_prompts()).vector.mean(0).norm()
    assert spread < raw.mean(0).norm()
    pictures = torch.rand(8, 3, 64, 64) * 2 - 1
    space.image.set_origin(pictures)
    seen = F.normalize(clip.model.encode_image(clip.prepare(pictures)), dim=-1)  # pyright: ignore[reportCallIssue]
    assert torch.allclose(space.image.origin, seen.mean(0), atol=1e-5)
    before = space.image.origin.clone()
    space.image.train()(pictures)
    space.image.set_origin(torch.zeros(1, 3, 64, 64))
    assert torch.equal(space.image.origin, before), "neither training nor other pictures move it"


def test_weights_of_the_earlier_format_load(clip: ClipParts) -> None:
    module = AMEModule(AMEConfig(), clip)
    state, total = module.state_dict(), torch.randn(512).double()
    del state["encoder.image.origin"], state["encoder.image.origin_set"]
    module.load_state_dict({**state, "encoder.image.count": torch.tensor(8.0).double(), "encoder.image.total": total})
    assert module.encoder.image is not None
    assert torch.allclose(module.encoder.image.origin, (total / 8).float())
    assert module.encoder.image.origin_set


def test_parents_follow_the_encoding() -> None:
    assert AMEConfig().parents() == ("clip",)
    assert AMEConfig(text=TextConfig("gpt2")).parents() == ("clip", "gpt2")
    assert AMEConfig(text=TextConfig("gpt2", "ViT-B-32", "openai", "gpt2")).parents() == ()


def test_missing_weights_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clip_model.*did you mean 'ViT-B-32'"):
        load_clip("ViT-B32", "openai")
    with pytest.raises(UserError, match="neither a file nor a pretrained tag"):
        load_clip("ViT-B-32", str(tmp_path / "absent.pt"))
    with pytest.raises(UserError, match="needs a pretrained tag"):
        load_clip("ViT-B-32", "")
    with pytest.raises(UserError, match=r"gpt2_model: cannot load .*absent"):
        load_gpt2(str(tmp_path / "absent"))


def test_every_emotion_has_a_place_in_every_encoding(space: EmotionSpace) -> None:
    assert len(space.encode_text([f"a {emotion} face" for emotion in EMOTIONS])) == 8
