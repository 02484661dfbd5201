"""What the figures of styles and tokens are drawn from."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from loops import clip_item, metrics_of

from ablations.figures.token_clusters import Clusters, Order, embed, orders, silhouettes, words
from conventions.emotions import STYLES
from conventions.errors import UserError
from datamodules.mead import ClipItem
from lightning_modules.ame.config import AMEConfig, AudioConfig, TextConfig
from lightning_modules.ame.module import AMEModule


def test_the_words_of_figure_8_hold_every_style_and_all_three_kinds() -> None:
    texts = list(words())
    styles = {(word.emotion, word.level) for word in texts if word.kind == "basic"}
    assert styles == {(style.emotion, style.level) for style in STYLES}
    assert {word.kind for word in texts} == {"basic", "unseen", "unrelated"}


def test_tokens_apart_by_emotion_have_a_silhouette_near_one_and_are_drawn(tmp_path: Path) -> None:
    texts = list(words())
    names = sorted({word.emotion for word in texts})
    tokens = np.eye(64)[[names.index(word.emotion) for word in texts]]
    tokens += 0.01 * np.random.default_rng(0).normal(size=tokens.shape)
    measured = silhouettes(texts, tokens)
    assert measured["basic emotions"] > 0.9
    assert measured["unseen styles"] > 0.9
    row = np.arange(4)
    order = {name: Order(row / 2, row, row, 1.0) for name in ("text", "image", "audio")}
    drawing = Clusters(texts, embed(tokens), measured, order, "a run")
    drawing.write(tmp_path / "eight.png")
    assert (tmp_path / "eight.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"written as \.png"):
        drawing.write(tmp_path / "eight.mp4")


CONFIG = AMEConfig(text=TextConfig("onehot"), audio=AudioConfig(width=32, heads=2, layers=1))


class Data:
    """Clips of noise, one of each style."""

    resolution = 16
    store = SimpleNamespace(hash="a store")

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        mels = [torch.rand(40, 80, generator=generator) * -60 for _ in STYLES]
        self.clips = [
            clip_item(style.emotion, style.level, num_frames=10, voice=mel)
            for style, mel in zip(STYLES, mels, strict=True)
        ]

    def test_clips(self, kind: str) -> list[ClipItem]:
        return self.clips

    def clip_item(self, clip: ClipItem) -> ClipItem:
        return clip


def test_figure_8_shows_the_order_that_the_evaluation_measures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, data = AMEModule(CONFIG), Data()
    measured = metrics_of(module, data.clips)
    found = orders(module.encoder.eval(), data, CONFIG.evaluation_frames, tmp_path)
    assert set(found) == {"text", "audio"}
    for name, order in found.items():
        assert order.correlation == pytest.approx(measured[f"intensity_spearman/{name}"], abs=1e-6)
    assert found["audio"].level.tolist() == [0 if s.emotion == "neutral" else s.level for s in STYLES]
    assert len(list(tmp_path.iterdir())) == 1
