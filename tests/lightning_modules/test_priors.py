from itertools import count, islice

import numpy as np
import pytest
import torch
from loops import metrics_of

from lightning_modules.ame.prompts import plain_prompts, prompts, style_prompts
from lightning_modules.standins.config import ClipPriorConfig, GPT2PriorConfig
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.standins.priors.data import (
    CONTEXT,
    UNKNOWN,
    CaptionData,
    CaptionedImages,
    PairBatch,
    PictureData,
    TextBatch,
    WordTokenizer,
    drop_words,
    synonym_accuracy,
    zero_shot_accuracy,
)
from lightning_modules.standins.priors.gpt2 import GPT2Prior
from toyworld.lexicon import corpus, lexicon, vocabulary

STYLES = ("happy", "sad", "appalled")


def toy_pictures(count: int) -> CaptionedImages:
    """Images whose colour is their style."""
    rng = np.random.default_rng(0)
    styles = [STYLES[i % 3] for i in range(count)]
    images = np.stack([np.full((64, 64, 3), 40 + 80 * STYLES.index(style)) for style in styles])
    noisy = np.clip(images + rng.integers(-20, 20, images.shape), 0, 255).astype(np.uint8)
    return CaptionedImages(noisy, [f"a person who looks {style}" for style in styles], styles, [1] * count)


def fit(module, batches, steps: int) -> list[float]:
    configured = module.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    module.log_scalars = lambda *args, **kwargs: None
    losses = []
    for batch in islice(batches, steps):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_tokenizer_ends_with_its_largest_number() -> None:
    tokenizer = WordTokenizer(["b", "a", "b"], length=6)
    rows = tokenizer(["A b, unheard", "", "a a a a a a a a"])
    assert rows.tolist() == [[1, 3, 4, 2, 5, 0], [1, 5, 0, 0, 0, 0], [1, 3, 3, 3, 3, 5]]
    assert rows.max() == tokenizer.size - 1


def test_dropping_words_spares_start_end_and_padding() -> None:
    tokenizer = WordTokenizer(["a", "b"], length=6)
    assert drop_words(tokenizer(["a b"]), 1.0, tokenizer.end).tolist() == [[1, UNKNOWN, UNKNOWN, 5, 0, 0]]
    assert torch.equal(drop_words(tokenizer(["a b"]), 0.0, tokenizer.end), tokenizer(["a b"]))


def test_the_stand_ins_know_every_word_that_ame_uses() -> None:
    known = set(vocabulary())
    styles = [text for emotion in prompts().emotions for level in (1, 2, 3) for text in style_prompts(emotion, level)]
    for text in [*styles, *plain_prompts("happily_surprised"), *prompts().unrelated]:
        assert set(text.split()) <= known, text


def test_no_caption_is_cut() -> None:
    assert max(len(line.split()) for line in corpus(2000, 0)) <= CONTEXT - 2


def test_batches_are_a_function_of_seed_and_step() -> None:
    pictures = PictureData(ClipPriorConfig(batch_size=4), toy_pictures(30), toy_pictures(6), seed=3)
    captions = CaptionData(GPT2PriorConfig(batch_size=4), seed=3)
    for data in (pictures, captions):
        whole = list(islice(data.train_dataloader(), 4))
        data.next_batch = 2
        late = list(islice(data.train_dataloader(), 2))
        for first, second in zip(whole[2:], late, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))
        assert not torch.equal(whole[0].tokens, whole[1].tokens)


def test_pictures_of_one_style_and_level_share_a_label_and_scenes_do_not() -> None:
    images = np.zeros((5, 64, 64, 3), np.uint8)
    pictures = CaptionedImages(images, ["x"] * 5, ["happy", "happy", "", "", "happy"], [1, 2, 0, 0, 1])
    first, second, scene, other, again = pictures.labels().tolist()
    assert first == again
    assert len({first, second, scene, other}) == 4


def test_clip_learns_to_match_picture_and_caption() -> None:
    torch.manual_seed(0)
    pictures = toy_pictures(60)
    config = ClipPriorConfig(steps=25, warmup=3, batch_size=12)
    prior, data = ClipPrior(config), PictureData(config, pictures, pictures)
    losses = fit(prior, map(data.batch, count()), 25)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    metrics = metrics_of(prior, data=data)
    names = {"basic", "other"}
    assert metrics.keys() == {f"{kind}_{name}" for kind in ("accuracy", "chance") for name in names} | {
        "synonyms",
        "chance_synonyms",
    }
    assert all(0 <= value <= 1 for value in metrics.values())


def test_gpt2_learns_the_captions() -> None:
    torch.manual_seed(0)
    config = GPT2PriorConfig(steps=25, warmup=3, batch_size=8)
    prior, data = GPT2Prior(config), CaptionData(config)
    untrained = metrics_of(prior, data=data)["perplexity"]
    fit(prior, data.train_dataloader(), 25)
    assert metrics_of(prior, data=data)["perplexity"] < untrained / 3
    assert untrained == pytest.approx(prior.tokenizer.size, rel=0.2)


def test_zero_shot_of_a_perfect_and_of_a_blind_embedding() -> None:
    pictures = toy_pictures(30)

    def colour(images: torch.Tensor) -> torch.Tensor:
        place = ((images.mean((1, 2, 3)) + 1) * 127.5 - 40).div(80).round().long().clamp(0, 2)
        return torch.eye(3)[place]

    def word(texts) -> torch.Tensor:
        groups = {"happy": 0, "joyful": 0, "smiling": 0, "appalled": 2, "horrified": 2}
        return torch.stack([torch.eye(3)[groups.get(text.split()[-1], 1)] for text in texts])

    vectors = colour(pictures.tensor(np.arange(30)))
    assert zero_shot_accuracy(vectors, pictures.style, word)["accuracy_basic"] == 1
    blind = zero_shot_accuracy(torch.ones(30, 3), pictures.style, word)
    assert blind["accuracy_basic"] == pytest.approx(0.5)


def test_batches_move_as_one() -> None:
    batch = PairBatch(
        torch.zeros(2, 3, 64, 64), torch.zeros(2, 5, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    ).to("meta")
    assert batch.image.device.type == batch.tokens.device.type == "meta"
    assert len(TextBatch(torch.zeros(3, 5, dtype=torch.long))) == 3


def test_synonyms_of_a_perfect_and_of_a_scattered_embedding() -> None:
    styles = list(lexicon().emotions)
    style_of = {word: styles.index(style) for style, words in lexicon().emotions.items() for word in words}

    def style(texts) -> torch.Tensor:
        named = [max((word for word in style_of if word in text), key=len) for text in texts]
        return torch.eye(len(styles))[[style_of[word] for word in named]]

    def scattered(texts) -> torch.Tensor:
        return torch.randn(len(texts), 64, generator=torch.Generator().manual_seed(len(texts[0])))

    perfect = synonym_accuracy(style)
    alone = sum(len(words) == 1 for words in lexicon().emotions.values())
    assert perfect["synonyms"] == 1 - alone / len(style_of)
    assert synonym_accuracy(scattered)["synonyms"] < 0.2
    assert 0 < perfect["chance_synonyms"] < 0.1
