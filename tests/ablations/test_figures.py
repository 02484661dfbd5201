"""What the figures of styles and tokens are drawn from."""

from pathlib import Path

import numpy as np
import pytest

from ablations.figures.token_clusters import Clusters, Order, embed, silhouettes, words
from conventions.emotions import STYLES
from conventions.errors import UserError


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
