"""Figure 8: the intensity tokens of texts by t-SNE (triangle = basic, square = unseen, diamond = unrelated), and how
the token orders the levels of texts, images and voices.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.figure import Figure

from ablations.figures import Request
from ablations.figures.talking import finished_run
from conventions.emotions import EMOTIONS, STYLES
from conventions.errors import UserError
from conventions.files import atomic_file
from datamodules.mead import MEADDataModule
from experiments.graph import FULL
from experiments.networks import Networks
from lightning_modules.ame.evaluation import (
    basic_clips,
    cached_clip_vectors,
    intensity_scores,
    rank_correlation,
    style_items,
)
from lightning_modules.ame.module import AMEModule
from lightning_modules.ame.prompts import plain_prompts, prompts, style_prompts
from lightning_modules.ame.space import EmotionSpace
from toyworld.emotions import UNSEEN_STYLES

PROMPTS_A_STYLE = 6
EMBEDDINGS = ".embeddings"
"""Folder in that of the runs where the embeddings of test clips are kept."""
MARKS = {"basic": "^", "unseen": "s", "unrelated": "D"}
COLOURS = (0, 1, 2, 3, 4, 5, 6, 8)
"""Of matplotlib's ten, without the grey."""
SIZES = {0: 18, 1: 12, 2: 24, 3: 40}
"""Area of a mark by level; 0 where a text has none."""
TITLES = {"text": "texts", "image": "images of test actors", "audio": "voices of test actors"}
LEVELS = ("neutral", "1", "2", "3")


@dataclass(frozen=True)
class Word:
    """A text with what it is about."""

    text: str
    kind: str
    emotion: str
    level: int = 0


@dataclass(frozen=True)
class Order:
    """Scores of one modality's samples, their true places on the scale 0..3, and Spearman's correlation of the two."""

    score: Float[np.ndarray, " n"]
    level: Int[np.ndarray, " n"]
    emotion: Int[np.ndarray, " n"]
    correlation: float


def words() -> Iterator[Word]:
    """Evenly taken prompts of MEAD's 22 styles, of the compound and new styles, and emotion-unrelated sentences."""
    for style in STYLES:
        options = style_prompts(style.emotion, style.level)
        for text in options[:: max(1, len(options) // PROMPTS_A_STYLE)][:PROMPTS_A_STYLE]:
            yield Word(text, "basic", style.emotion, style.level)
    for name in UNSEEN_STYLES:
        for text in plain_prompts(name)[:PROMPTS_A_STYLE]:
            yield Word(text, "unseen", name)
    for text in prompts().unrelated:
        yield Word(text, "unrelated", "unrelated")


@dataclass(frozen=True)
class Clusters:
    """Places of the words in the plane, how well their tokens separate before they are put there, and their order."""

    words: Sequence[Word]
    places: Float[np.ndarray, "n 2"]
    silhouettes: dict[str, float]
    orders: Mapping[str, Order]
    run: str

    def write(self, out: Path) -> None:
        """Write a PNG."""
        if out.suffix != ".png":
            raise UserError(f"--out {out}: figure 8 is written as .png")
        figure = Figure(figsize=(7.4, 8.2), dpi=160)
        axes = figure.add_axes((0.02, 0.41, 0.70, 0.55))
        axes.set_title("Intensity tokens of texts (t-SNE)", loc="left", fontsize=11, weight="bold")
        axes.set(xticks=[], yticks=[])
        for word, (x, y) in zip(self.words, self.places, strict=True):
            style = {"color": _colour(word), "marker": MARKS[word.kind], "s": SIZES[word.level], "linewidths": 0}
            axes.scatter(x, y, alpha=0.8, **style)
        self._legend(figure)
        draw_orders(figure, self.orders, [_colour(Word("", "basic", emotion)) for emotion in EMOTIONS])
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(out) as file:
            figure.savefig(file, format="png")

    def _legend(self, figure: Figure) -> None:
        side = figure.add_axes((0.73, 0.41, 0.26, 0.55))
        side.set_axis_off()
        rows = [(emotion, "^", _colour(Word("", "basic", emotion))) for emotion in EMOTIONS]
        rows += [("compound and new styles", "s", _colour(Word("", "unseen", ""))), ("unrelated", "D", "#888888")]
        for line, (name, mark, colour) in enumerate(rows):
            side.scatter(0.04, 1 - 0.06 * line, marker=mark, color=colour, s=30)
            side.text(0.12, 1 - 0.06 * line, name, va="center", fontsize=8)
        side.text(0, 1 - 0.06 * len(rows) - 0.02, "size: level 1 to 3", va="center", fontsize=8, color="#555555")
        side.set(xlim=(0, 1), ylim=(0, 1.03))
        measured = ", ".join(f"{name} {value:.2f}" for name, value in self.silhouettes.items())
        note = f"silhouette of the 64-d tokens (-1 to 1): {measured}\nrun {self.run}"
        figure.text(0.02, 0.02, note, fontsize=7, color="#555555", linespacing=1.5)


def draw(request: Request) -> Clusters:
    """The clusters in the finished AME of the full model."""
    evaluation = finished_run(request, FULL, ("ame",))
    run = evaluation.parents["eac"].parents["ame"]
    texts = list(words())
    space = Networks(request.runs).typed(run, AMEModule).encoder
    with torch.no_grad():
        tokens = space.encode_text([word.text for word in texts]).token.numpy()
    data = MEADDataModule(run.config.data, "ame", run.config.ame.batch_size, run.seed)
    order = orders(space, data, run.config.ame.evaluation_frames, request.runs / EMBEDDINGS)
    return Clusters(texts, embed(tokens), silhouettes(texts, tokens), order, run.id)


def embed(tokens: Float[np.ndarray, "n 64"]) -> Float[np.ndarray, "n 2"]:
    """t-SNE from a start that is the same each time (van der Maaten & Hinton 2008)."""
    from sklearn.manifold import TSNE

    return TSNE(perplexity=min(30.0, len(tokens) / 4), init="pca", random_state=0).fit_transform(tokens)


def silhouettes(texts: Sequence[Word], tokens: Float[np.ndarray, "n 64"]) -> dict[str, float]:
    """Mean silhouette (Rousseeuw 1987) of the basic emotions, of the unseen styles, and of the three kinds of text."""
    from sklearn.metrics import silhouette_score

    kinds = np.array([word.kind for word in texts])
    names = np.array([word.emotion for word in texts])
    result = {}
    for title, kind in (("basic emotions", "basic"), ("unseen styles", "unseen")):
        result[title] = float(silhouette_score(tokens[kinds == kind], names[kinds == kind]))
    return {**result, "the three kinds": float(silhouette_score(tokens, kinds))}


def _colour(word: Word) -> str | tuple[float, ...]:
    if word.kind == "basic":
        return colormaps["tab10"](COLOURS[EMOTIONS.index(word.emotion)])
    return "#555555" if word.kind == "unseen" else "#888888"


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
