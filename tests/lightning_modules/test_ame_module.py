"""Training and scoring of the emotion space on synthetic clips whose colour and pitch are their emotion."""

import math
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from loops import clip_item, metrics_of

from conventions.emotions import EMOTIONS, STYLES
from datamodules.batches import AMEBatch
from datamodules.mead import ClipItem
from lightning_modules.ame.augment import augment_mel, warp_frequencies
from lightning_modules.ame.config import AMEConfig, AMEWeights, AudioConfig, AugmentConfig, TextConfig
from lightning_modules.ame.evaluation import (
    Labelled,
    alignment,
    cached_clip_vectors,
    gallery,
    modality_gap,
    rank_correlation,
    retrieval,
)
from lightning_modules.ame.intensity import IntensityHead, null_loss, ordinal_level, ordinal_loss
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.prompts import named_level, style_prompt, style_prompts, styles_of
from lightning_modules.standins.config import ClipPriorConfig
from lightning_modules.standins.priors.clip import ClipPrior

SMALL = AMEConfig(audio=AudioConfig(width=32, heads=2, layers=1), steps=30, warmup=3, batch_size=16)


def pictures(styles: torch.Tensor, size: int = 32) -> torch.Tensor:
    colours = torch.rand(len(STYLES), 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return colours[styles][:, :, None, None].expand(-1, -1, size, size) + 0.02 * torch.randn(len(styles), 3, size, size)


def voices(styles: torch.Tensor, steps: int = 40) -> torch.Tensor:
    mel = torch.full((len(styles), steps, 80), -70.0)
    for row, style in enumerate(styles.tolist()):
        mel[row, :, 3 * style : 3 * style + 3] = -10.0
    return mel + torch.randn_like(mel)


def batch_of(styles: torch.Tensor) -> AMEBatch:
    emotion = torch.tensor([EMOTIONS.index(STYLES[i].emotion) for i in styles.tolist()])
    level = torch.tensor([STYLES[i].level for i in styles.tolist()])
    mel = voices(styles)
    mask, rows = torch.ones(mel.shape[:2], dtype=torch.bool), torch.arange(len(styles))
    return AMEBatch(pictures(styles), mel, mask, emotion, level, styles, rows, rows)


@pytest.fixture(scope="module")
def module() -> AMEModule:
    torch.manual_seed(0)
    return AMEModule(SMALL, ClipPrior(ClipPriorConfig()).parts())


@dataclass
class Clip:
    emotion: str
    level: int
    style: int

    @property
    def id(self) -> str:
        return f"{self.emotion}_{self.level}"


@dataclass
class Data:
    """What the figures ask of a data module."""

    resolution = 32
    store = SimpleNamespace(hash="a store")

    def test_clips(self, kind: str) -> list[Clip]:
        basic = [Clip(style.emotion, style.level, i) for i, style in enumerate(STYLES)]
        return basic if kind == "basic" else [Clip("appalled", 2, 3), Clip("happily_surprised", 1, 5)]

    def clip_item(self, clip: Clip) -> ClipItem:
        styles = torch.tensor([clip.style])
        frames = pictures(styles).expand(6, -1, -1, -1)
        return clip_item(clip.emotion, clip.level, frames=frames, voice=voices(styles)[0])

    def items(self) -> tuple[list[ClipItem], list[ClipItem]]:
        """Those of the basic and of the unseen styles."""
        basic, unseen = ([self.clip_item(clip) for clip in self.test_clips(kind)] for kind in ("basic", "unseen"))
        return basic, unseen


def test_training_lowers_the_loss_and_reaches_every_trained_weight(module: AMEModule) -> None:
    module.log_scalars = lambda *args, **kwargs: None
    optimizer = module.configure_optimizers()["optimizer"]
    module.train()
    losses = []
    for step in range(30):
        torch.manual_seed(step)
        loss = module.training_step(batch_of(torch.randint(len(STYLES), (16,))), step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < sum(losses[:5])
    untouched = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert untouched == []
    assert all(p.grad is None for p in module.parameters() if not p.requires_grad)


def test_evaluation_names_all_that_it_owes(module: AMEModule) -> None:
    metrics = metrics_of(module, *Data().items())
    names = ("text", "image", "audio")
    for first in names:
        for second in names:
            if first != second:
                assert 0 <= metrics[f"r1/{first}-{second}"] <= metrics[f"r5/{first}-{second}"] <= 1
                assert metrics[f"r1_emotion/{first}-{second}"] >= metrics[f"r1/{first}-{second}"]
    assert metrics["unseen_chance"] == pytest.approx(1 / 10)
    assert {"unseen_accuracy/image", "unseen_accuracy/audio", "gap/text-image", "alignment/text-audio"} <= set(metrics)
    assert {f"intensity_spearman/{name}" for name in names} <= set(metrics)


def test_one_hot_has_no_null_point_and_no_zero_shot() -> None:
    module = AMEModule(replace(SMALL, text=TextConfig("onehot")))
    batch = batch_of(torch.arange(16))
    losses = module.losses(batch, module.codes(batch))
    assert losses.keys() == {"text_audio", "intensity"}
    assert not any(name.startswith("unseen") for name in metrics_of(module, *Data().items()))


def test_neutral_is_the_zero_of_intensity() -> None:
    emotion = torch.tensor([EMOTIONS.index("neutral"), EMOTIONS.index("sad")])
    assert ordinal_level(emotion, torch.tensor([1, 1])).tolist() == [0, 1]


def test_ordinal_loss_orders_scores() -> None:
    head = IntensityHead(16)
    level = torch.arange(4)
    right, wrong = head.anchors, head.anchors.flip(0)
    assert ordinal_loss(right * 5, head.thresholds * 5, level) < ordinal_loss(wrong * 5, head.thresholds * 5, level)
    assert (head.anchors.diff() > 0).all()
    assert (head.level(torch.zeros(1, 64)) == 0).all()
    assert null_loss(torch.zeros(3, 64)) == 0


def test_prompts_wrap_around_and_speak_of_the_style() -> None:
    options = style_prompts("angry", 3)
    assert style_prompt("angry", 3, len(options)) == style_prompt("angry", 3, 0) == "a photo of a very angry person"
    assert style_prompt("angry", 2, 0) == "a photo of an angry person"
    assert style_prompt("neutral", 1, 1) == "a person who looks neutral"
    assert style_prompt("happily_surprised", 2, 1) == "a person who looks happily surprised"
    assert len(set(options)) == len(options)


def test_every_training_prompt_names_its_own_style_for_the_one_hot_encoding() -> None:
    for style in STYLES:
        for prompt in style_prompts(style.emotion, style.level):
            assert styles_of(prompt) == [style], prompt
    assert named_level("sad") == 2


def test_spec_augment_silences_and_keeps_the_shape() -> None:
    torch.manual_seed(0)
    mel, mask = torch.full((4, 60, 80), -20.0), torch.ones(4, 60, dtype=torch.bool)
    augmented = augment_mel(mel, mask, AugmentConfig(gain_db=0.0, warp=0.0))
    silent = (augmented == -80).float().mean()
    assert 0 < silent < 0.7
    assert set(augmented.unique().tolist()) == {-80.0, -20.0}
    still = AugmentConfig(gain_db=0.0, time_masks=0, frequency_masks=0, warp=0.0)
    assert torch.equal(augment_mel(mel, mask, still), mel)


def test_warped_frequencies_are_those_of_another_vocal_tract() -> None:
    """Against numpy's interpolation; a peak at bin 40 moves to 32 and 50."""
    torch.manual_seed(0)
    mel, factor = torch.randn(3, 5, 80), torch.tensor([1.0, 1.25, 0.8])
    warped = warp_frequencies(mel, factor)
    assert torch.equal(warped[0], mel[0])
    for row in (1, 2):
        places = np.arange(80) * factor[row].item()
        expected = np.stack([np.interp(places, np.arange(80), column) for column in mel[row].numpy()])
        np.testing.assert_allclose(warped[row].numpy(), expected, atol=1e-5)
    peak = torch.zeros(3, 1, 80).index_fill(2, torch.tensor([40]), 1.0)
    assert warp_frequencies(peak, factor).argmax(2).flatten().tolist() == [40, 32, 50]


def test_retrieval_of_a_perfect_space_and_of_one_blind_to_level() -> None:
    style = torch.arange(6)
    emotion, level = style // 3, (style % 3).float()
    perfect = Labelled(torch.eye(6), style, emotion, level)
    assert set(retrieval({"text": perfect, "image": perfect}).values()) == {1.0}
    blind = Labelled(torch.eye(6)[emotion], style, emotion, level)
    scores = retrieval({"text": perfect, "image": blind})
    assert scores["r1_emotion/image-text"] < 1
    assert scores["r1/image-text"] == pytest.approx(1 / 6)
    assert alignment(perfect, perfect) == 0
    assert modality_gap(perfect, perfect) == 0
    assert torch.equal(gallery(perfect).vectors, torch.eye(6))


@pytest.mark.parametrize("kept", [3, 4, 5, 6])
def test_queries_without_an_entry_cost_nothing(kept: int) -> None:
    """A perfect space stays perfect where one modality has some of the styles only."""
    style = torch.arange(6)
    vectors = torch.cat([torch.eye(6), torch.eye(3)[style // 2]], dim=1) / 2**0.5
    perfect = Labelled(vectors, style, style // 2, (style % 2).float())
    few = Labelled(*(getattr(perfect, field.name)[:kept] for field in fields(Labelled)))
    assert set(retrieval({"text": perfect, "image": few}).values()) == {1.0}


def test_a_gallery_of_one_style_has_no_recall() -> None:
    style = torch.tensor([3, 3])
    items = Labelled(torch.eye(2), style, style, style.float())
    assert all(map(math.isnan, retrieval({"text": items, "image": items}).values()))


def test_rank_correlation() -> None:
    level = torch.tensor([0.0, 1, 2, 3])
    assert rank_correlation(level**3, level) == pytest.approx(1)
    assert rank_correlation(torch.zeros(4), level) != rank_correlation(torch.zeros(4), level)


def test_embeddings_are_kept_by_store_and_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    space, data = AMEModule(replace(SMALL, text=TextConfig("onehot"))).encoder, Data()
    clips = data.test_clips("basic")[:2]
    first = cached_clip_vectors(space, data, clips, 2, tmp_path)
    monkeypatch.setattr(Data, "clip_item", lambda *_: pytest.fail("embedded again"))
    again = cached_clip_vectors(space, data, clips, 2, tmp_path)
    assert torch.equal(first["audio"], again["audio"])
    monkeypatch.undo()
    with torch.no_grad():
        space.audio.project.weight += 0.1
    assert not torch.equal(cached_clip_vectors(space, data, clips, 2, tmp_path)["audio"], first["audio"])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AudioConfig(width=30, heads=4), "width: 30 must be a multiple of heads"),
        (lambda: AudioConfig(dropout=1.5), "dropout: 1.5 is not valid"),
        (lambda: AMEWeights(null=-1.0), "null: -1.0 is not valid"),
        (lambda: AMEConfig(learning_rate=0.0), "learning_rate: 0.0 is not valid; it must be greater than 0"),
        (lambda: AugmentConfig(flip=2.0), "flip: 2.0"),
        (lambda: ClipPriorConfig(steps=0), "steps: 0"),
    ],
)
def test_impossible_numbers_are_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
