"""The lower row of figure 8: where the intensity token puts texts, and pictures and voices of actors never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from lightning_modules.ame.cache import cached_clip_vectors
from lightning_modules.ame.evaluation import basic_clips, intensity_scores, style_items
from lightning_modules.ame.retrieval import rank_correlation
from lightning_modules.ame.space import EmotionSpace

TITLES = {"text": "texts", "image": "images of test actors", "audio": "voices of test actors"}
LEVELS = ("neutral", "1", "2", "3")


@dataclass(frozen=True)
class Order:
    """Scores of one modality's samples, their true places on the scale 0..3, and Spearman's correlation of the two."""

    score: Float[np.ndarray, " n"]
    level: Int[np.ndarray, " n"]
    emotion: Int[np.ndarray, " n"]
    correlation: float


@torch.no_grad()
def orders(space: EmotionSpace, data: Any, num_frames: int, embeddings: Path) -> dict[str, Order]:
    """Of each modality, on all prompts and on the test clips of `data`; the folder keeps the clips' embeddings."""
    clips = basic_clips(data)
    vectors = cached_clip_vectors(space, data, clips, num_frames, embeddings)
    result = {}
    for name, items in style_items(space, dict.fromkeys(vectors, clips), vectors).items():
        score = intensity_scores(space, items.vectors)
        result[name] = Order(
            score.numpy(), items.level.long().numpy(), items.emotion.numpy(), rank_correlation(score, items.level)
        )
    return result


def draw_orders(figure: Figure, orders: Mapping[str, Order], colours: Sequence[Any]) -> None:
    """A panel for each modality: score over level, a dot for each sample in its emotion's colour."""
    random = np.random.default_rng(0)
    for column, (name, order) in enumerate(orders.items()):
        axes = figure.add_axes((0.07 + 0.32 * column, 0.10, 0.27, 0.23))
        places = order.level + random.uniform(-0.25, 0.25, len(order.level))
        axes.scatter(places, order.score, c=[colours[index] for index in order.emotion], s=7, alpha=0.7, linewidths=0)
        axes.set_title(f"{TITLES[name]}: {order.correlation:.2f}", fontsize=8)
        axes.set_xticks(range(len(LEVELS)), LEVELS, fontsize=7)
        axes.tick_params(axis="y", labelsize=6)
    figure.text(0.02, 0.37, "Score by level, and rank correlation", fontsize=11, weight="bold")
