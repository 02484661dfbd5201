"""How good an emotion space is: retrieval, zero-shot accuracy, order of intensity, alignment and modality gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import spearman_corrcoef


@dataclass(frozen=True)
class Labelled:
    """Unit vectors of one modality with the style, emotion and intensity (0..3) of each."""

    vectors: Float[Tensor, "n d"]
    style: Int[Tensor, " n"]
    emotion: Int[Tensor, " n"]
    level: Float[Tensor, " n"]


def direction(vectors: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Unit vector of the mean."""
    return F.normalize(vectors.mean(0), dim=-1)


def gallery(items: Labelled) -> Labelled:
    """One entry for each style: the direction of the mean of its vectors."""
    styles = items.style.unique()
    first = torch.stack([(items.style == style).nonzero()[0, 0] for style in styles])
    vectors = torch.stack([direction(items.vectors[items.style == style]) for style in styles])
    return Labelled(vectors, styles, items.emotion[first], items.level[first])


def recall(queries: Labelled, entries: Labelled, k: int) -> float:
    """Share of queries whose style is among the k nearest entries of the gallery."""
    nearest = (queries.vectors @ entries.vectors.T).topk(min(k, len(entries.style)), dim=1).indices
    return (entries.style[nearest] == queries.style[:, None]).any(1).float().mean().item()


def emotion_recall(queries: Labelled, entries: Labelled) -> float:
    """Share of queries whose nearest entry is of the same emotion, at any level."""
    nearest = (queries.vectors @ entries.vectors.T).argmax(1)
    return (entries.emotion[nearest] == queries.emotion).float().mean().item()


def retrieval(items: Mapping[str, Labelled]) -> dict[str, float]:
    """R@1 and R@5 among the styles, and R@1 on emotions, in each direction `query-gallery` of the modalities."""
    entries = {name: gallery(vectors) for name, vectors in items.items()}
    result: dict[str, float] = {}
    for query, target in permutations(items, 2):
        pair = f"{query}-{target}"
        result[f"r1/{pair}"] = recall(items[query], entries[target], 1)
        result[f"r5/{pair}"] = recall(items[query], entries[target], 5)
        result[f"r1_emotion/{pair}"] = emotion_recall(items[query], entries[target])
    return result


def zero_shot(
    vectors: Float[Tensor, "n d"], names: Sequence[str], classes: Mapping[str, Float[Tensor, "p d"]]
) -> float:
    """Share of vectors nearest to the mean prompt of their own name among `classes` (name -> prompt vectors)."""
    prototypes = torch.stack([direction(prompt_vectors) for prompt_vectors in classes.values()])
    answers = torch.tensor([list(classes).index(name) for name in names], device=vectors.device)
    return (vectors @ prototypes.T).argmax(1).eq(answers).float().mean().item()


def rank_correlation(score: Float[Tensor, " n"], level: Float[Tensor, " n"]) -> float:
    """Spearman's correlation of an intensity with the true level; NaN when either is constant."""
    if len(score.unique()) < 2 or len(level.unique()) < 2:
        return float("nan")
    return spearman_corrcoef(score.float(), level.float()).item()


def alignment(first: Labelled, second: Labelled) -> float:
    """Mean squared distance of pairs with one style (Wang & Isola 2020); 0 is perfect, 2 is unrelated."""
    same = first.style[:, None] == second.style[None]
    distance = 2 - 2 * first.vectors @ second.vectors.T
    return distance[same].mean().item()


def modality_gap(first: Labelled, second: Labelled) -> float:
    """Distance of the two modalities' mean vectors (Liang et al. 2022)."""
    return (first.vectors.mean(0) - second.vectors.mean(0)).norm().item()
