"""AME's losses, and AME on voices without images and images without voices, with features of frozen encoders."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_encoders import sentences
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.batches import AMEBatch
from datamodules.config import SpeechForm
from lightning_modules.ame.config import AMEConfig, AudioConfig, ImageConfig, TextConfig
from lightning_modules.ame.encoders import FeatureEncoder, TrainedImage, mean_and_deviation
from lightning_modules.ame.intensity import is_level_known, ordinal_loss
from lightning_modules.ame.losses import (
    contrastive_loss,
    logit_scale,
    multi_positive_nce,
    negative_weights,
    positives,
)
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.prompts import all_style_prompts, style_prompts, synonyms, training_texts, word_prompts
from lightning_modules.ame.sources import SentenceText
from lightning_modules.ame.towers import load_sentence_encoder


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


FEATURE = SpeechForm("a feature", (6,))
HAPPY, SAD, NEUTRAL = (EMOTIONS.index(name) for name in ("happy", "sad", "neutral"))


def module_of(folder: Path) -> AMEModule:
    config = AMEConfig(
        text=TextConfig(f"hf:{sentences(folder / 'words')}"),
        image=ImageConfig("trained", width=4),
        audio=AudioConfig(speech=FEATURE),
    )
    torch.manual_seed(0)
    return AMEModule(config)


def batch() -> AMEBatch:
    """Four voices with levels, then three images without."""
    mask = torch.arange(9)[None] < torch.tensor([[9], [5], [9], [2]])
    return AMEBatch(
        image=torch.rand(3, 3, 24, 24) * 2 - 1,
        voice=torch.randn(4, 9, 6),
        voice_mask=mask,
        emotion=torch.tensor([HAPPY, SAD, NEUTRAL, HAPPY, HAPPY, SAD, NEUTRAL]),
        level=torch.tensor([2, 3, 1, 3, 0, 0, 1]),
        style=torch.tensor([-1] * 7),
        image_rows=torch.tensor([4, 5, 6]),
        voice_rows=torch.tensor([0, 1, 2, 3]),
    )


def test_towers_learn_from_clips_that_share_only_their_emotion(tmp_path: Path) -> None:
    module = module_of(tmp_path)
    assert module.encoder.modalities == ("text", "image", "audio")
    losses = module.losses(batch(), module.codes(batch()))
    assert losses.keys() == {"text_audio", "text_image", "audio_image", "intensity", "null"}
    losses["audio_image"].backward()
    for tower in (module.encoder.image, module.encoder.audio):
        gradients = [p.grad for p in tower.parameters() if p.grad is not None]
        assert any(gradient.abs().max() > 0 for gradient in gradients)


def test_an_unknown_level_is_that_of_any_other() -> None:
    emotion, level = torch.tensor([HAPPY, HAPPY, HAPPY, SAD]), torch.tensor([2, 3, 0, 0])
    assert positives(emotion, level).tolist() == [
        [True, False, True, False],
        [False, True, True, False],
        [True, True, True, False],
        [False, False, False, True],
    ]
    weights = negative_weights(emotion, level, 0.3)
    assert weights[0].tolist() == pytest.approx([0, 0.3, 0, 1])


def test_rows_without_positives_have_no_part_in_the_loss() -> None:
    logits, positive = torch.randn(3, 4), torch.zeros(3, 4, dtype=torch.bool)
    positive[0, 1] = positive[2, 3] = True
    weights = torch.ones(3, 4)
    kept = multi_positive_nce(logits[[0, 2]], positive[[0, 2]], weights[[0, 2]])
    assert torch.allclose(multi_positive_nce(logits, positive, weights), kept)
    assert multi_positive_nce(logits, torch.zeros_like(positive), weights) == 0


def test_levels_that_are_not_known_train_no_intensity() -> None:
    emotion, level = torch.tensor([HAPPY, HAPPY, NEUTRAL]), torch.tensor([0, 2, 0])
    known = is_level_known(emotion, level)
    assert known.tolist() == [False, True, True]
    score, thresholds = torch.tensor([7.0, 0.5, -1.0]), torch.tensor([0.0, 1.0, 2.0])
    places = torch.tensor([0, 2, 0])
    loss = ordinal_loss(score, thresholds, places, known)
    assert torch.allclose(loss, ordinal_loss(score[1:], thresholds, places[1:]))
    assert ordinal_loss(score, thresholds, places, torch.zeros(3, dtype=torch.bool)) == 0


def test_prompts_of_an_unknown_level_have_no_word_of_strength() -> None:
    assert "someone who is happy" in style_prompts("happy", 0)
    assert all("very" not in text and "slightly" not in text for text in style_prompts("happy", 0))


def test_no_training_text_holds_a_synonym() -> None:
    words = " ".join(training_texts()).split()
    assert synonyms().keys() == set(EMOTIONS)
    assert len({len(found) for found in synonyms().values()}) == 1
    assert [word for found in synonyms().values() for word in found if word in words] == []


def test_words_are_means_of_hidden_states_seen_from_the_middle_of_the_prompts(tmp_path: Path) -> None:
    parts = load_sentence_encoder(str(sentences(tmp_path / "words")))
    source = SentenceText(parts)

    def alone(text: str) -> torch.Tensor:
        tokens, _ = parts.tokenize([text])
        with torch.no_grad():
            return F.normalize(parts.model(input_ids=tokens).last_hidden_state[0].mean(0), dim=0)

    middle = torch.stack([alone(text) for text in all_style_prompts()]).mean(0)
    texts = ["someone who is happy", *word_prompts("glad")[:2]]
    expected = F.normalize(torch.stack([alone(text) for text in texts]) - middle, dim=-1)
    found = source(texts)
    assert torch.allclose(found[:, : parts.width], expected, atol=1e-4)
    assert not found[:, parts.width :].any()
    assert [p for p in source.parameters() if p.requires_grad] == []


def test_a_folder_that_is_no_encoder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of an encoder"):
        load_sentence_encoder(str(tmp_path))


def test_padding_has_no_influence_on_a_voice() -> None:
    torch.manual_seed(0)
    encoder, voice = FeatureEncoder(AudioConfig(speech=FEATURE)), torch.randn(8, 9, 6)
    encoder(voice, torch.ones(8, 9, dtype=torch.bool))
    encoder.eval()
    short = encoder(voice[:1, :5], torch.ones(1, 5, dtype=torch.bool))
    mask = (torch.arange(9) < 5)[None]
    assert torch.allclose(encoder(voice[:1], mask), short, atol=1e-6)
    pooled = mean_and_deviation(voice[:1], mask)[0]
    assert torch.allclose(pooled[:6], voice[0, :5].mean(0), atol=1e-6)
    assert torch.allclose(pooled[6:], voice[0, :5].std(0, unbiased=False), atol=1e-4)


def test_exposure_has_no_part_in_a_picture() -> None:
    torch.manual_seed(0)
    tower, images = TrainedImage(ImageConfig("trained", width=4)).eval(), torch.rand(2, 3, 24, 24)
    assert torch.allclose(tower(images * 0.5 - 0.4), tower(images), atol=1e-4)
    assert torch.allclose(tower(images).norm(dim=-1), torch.ones(2))
