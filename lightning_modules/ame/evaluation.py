"""How good an emotion space is: retrieval, zero-shot accuracy, order of intensity, alignment and modality gap on test
clips, each clip's image and voice against the prompts of the styles.

The embeddings of the clips can be kept in a folder, by the content of store and encoder.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional import spearman_corrcoef

from conventions.emotions import EMOTIONS, STYLES, style_index
from conventions.files import atomic_file
from lightning_modules.ame.intensity import ordinal_level
from lightning_modules.ame.prompts import plain_prompts, style_prompts, synonyms, word_prompts
from lightning_modules.ame.space import EmotionSpace


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
    """Share of queries whose style is among the k nearest entries of the gallery.

    Queries whose style the gallery lacks are left out; NaN for a gallery of one style, and where no query is left.
    """
    nearest = (queries.vectors @ entries.vectors.T).topk(min(k, len(entries.style)), dim=1).indices
    found = (entries.style[nearest] == queries.style[:, None]).any(1)
    return _share(found, queries.style, entries.style)


def emotion_recall(queries: Labelled, entries: Labelled) -> float:
    """The same for the emotion of the nearest entry, at any level."""
    nearest = (queries.vectors @ entries.vectors.T).argmax(1)
    return _share(entries.emotion[nearest] == queries.emotion, queries.emotion, entries.emotion)


def _share(found: Bool[Tensor, " n"], wanted: Int[Tensor, " n"], offered: Int[Tensor, " m"]) -> float:
    """Mean of `found` over what is offered; NaN where there is no choice."""
    if len(offered.unique()) < 2:
        return float("nan")
    return found[torch.isin(wanted, offered)].float().mean().item()


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


NUM_SYNONYMS = 3
"""Synonyms of each emotion that are tried."""


def picture_vector(space: EmotionSpace, frames: Float[Tensor, "t 3 h w"], num_frames: int) -> Float[Tensor, " 512"]:
    """Direction of the mean embedding of evenly spaced frames of a clip, ends left out."""
    places = torch.linspace(0, len(frames) - 1, num_frames + 2)[1:-1].round().long()
    return direction(space.encode_image(frames[places.to(frames.device)]).vector)


def voice_vector(space: EmotionSpace, voice: Float[Tensor, "t d"]) -> Float[Tensor, " 512"]:
    """Embedding of a clip's whole audio."""
    mask = torch.ones(1, len(voice), dtype=torch.bool, device=voice.device)
    return space.encode_audio(voice[None], mask).vector[0]


def item_vectors(space: EmotionSpace, item: Any, num_frames: int) -> dict[str, Float[Tensor, " 512"]]:
    """Vectors of a clip on the space's device, by each modality other than text that both have."""
    vectors: dict[str, Tensor] = {}
    if "image" in space.modalities and len(item.frames):
        vectors["image"] = picture_vector(space, item.frames, num_frames)
    if "audio" in space.modalities and item.has_audio:
        vectors["audio"] = voice_vector(space, item.voice)
    return vectors


def clip_vectors(
    space: EmotionSpace, data: Any, clips: Iterable[Any], num_frames: int, device: torch.device
) -> dict[str, Float[Tensor, "n 512"]]:
    """Vectors of clips by each modality other than text."""
    return stack([item_vectors(space, data.clip_item(clip).to(device), num_frames) for clip in clips])


def stack(rows: Sequence[Mapping[str, Float[Tensor, " 512"]]]) -> dict[str, Float[Tensor, "n 512"]]:
    """The vectors of several clips, by modality; of each those that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: torch.stack([row[name] for row in rows if name in row]) for name in names}


def basic_clips(data: Any) -> list[Any]:
    """Test clips of MEAD's styles."""
    return [clip for clip in data.test_clips("basic") if clip.emotion in EMOTIONS]


def style_items(
    space: EmotionSpace, clips: Mapping[str, Sequence[Any]], vectors: Mapping[str, Float[Tensor, "n 512"]]
) -> dict[str, Labelled]:
    """What retrieval and the order of intensity are measured on: prompts of every style, and clips by modality."""
    items = {"text": prompt_vectors(space)}
    for name, rows in vectors.items():
        items[name] = _labelled(rows, [style_index(clip.emotion, clip.level) for clip in clips[name]])
    return items


def _labelled(vectors: Float[Tensor, "n 512"], styles: Sequence[int]) -> Labelled:
    style = torch.tensor(styles)
    emotion = torch.tensor([EMOTIONS.index(STYLES[index].emotion) for index in styles])
    level = torch.tensor([STYLES[index].level for index in styles])
    device = vectors.device
    level = ordinal_level(emotion, level).float()
    return Labelled(vectors, style.to(device), emotion.to(device), level.to(device))


def prompt_vectors(space: EmotionSpace) -> Labelled:
    """Vectors of every prompt of the 22 styles."""
    texts = [(text, i) for i, style in enumerate(STYLES) for text in style_prompts(style.emotion, style.level)]
    return _labelled(space.encode_text([text for text, _ in texts]).vector, [index for _, index in texts])


def intensity_scores(space: EmotionSpace, vectors: Float[Tensor, "n 512"]) -> Float[Tensor, " n"]:
    """Unbounded intensity that the token of each unit vector stands for."""
    return space.intensity.score(space.code(vectors).token)


def style_metrics(space: EmotionSpace, items: dict[str, Labelled]) -> dict[str, float]:
    """Retrieval, order of intensity, alignment and gap of the modalities on clips of MEAD's styles."""
    result = retrieval(items)
    for name, labelled in items.items():
        scores = intensity_scores(space, labelled.vectors)
        result[f"intensity_spearman/{name}"] = rank_correlation(scores, labelled.level)
    for first, second in combinations(items, 2):
        result[f"alignment/{first}-{second}"] = alignment(items[first], items[second])
        result[f"gap/{first}-{second}"] = modality_gap(items[first], items[second])
    return result


def emotion_metrics(
    space: EmotionSpace, vectors: Mapping[str, Float[Tensor, "n 512"]], names: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Accuracy among the eight emotions: by their plain words, and by words that no training prompt holds.

    The latter (`synonym_accuracy`) is the mean over the synonyms, one of each emotion at a time.
    """
    sets = [{emotion: words[index] for emotion, words in synonyms().items()} for index in range(NUM_SYNONYMS)]
    by_word = [_classes(space, words) for words in sets]
    plain = {emotion: space.encode_text(plain_prompts(emotion)).vector for emotion in EMOTIONS}
    result: dict[str, float] = {}
    for modality, rows in vectors.items():
        result[f"accuracy/{modality}"] = zero_shot(rows, names[modality], plain)
        shares = [zero_shot(rows, names[modality], classes) for classes in by_word]
        result[f"synonym_accuracy/{modality}"] = sum(shares) / len(shares)
    return result


def _classes(space: EmotionSpace, words: Mapping[str, str]) -> dict[str, Float[Tensor, "p 512"]]:
    """Vectors of the prompts of one word of each emotion."""
    return {emotion: space.encode_text(word_prompts(words[emotion])).vector for emotion in EMOTIONS}


def unseen_metrics(
    space: EmotionSpace, vectors: Mapping[str, Float[Tensor, "n 512"]], names: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Accuracy of clips of unseen styles among the eight emotions and all unseen styles, and its chance level."""
    unseen = sorted({name for clips in names.values() for name in clips})
    classes = {name: space.encode_text(plain_prompts(name)).vector for name in [*EMOTIONS, *unseen]}
    result = {f"unseen_accuracy/{name}": zero_shot(rows, names[name], classes) for name, rows in vectors.items()}
    return {**result, "unseen_chance": 1 / len(classes)}


def weights_hash(network: nn.Module) -> str:
    """Hex SHA-256 of all weights and buffers that a network computes with, frozen towers included."""
    digest = hashlib.sha256()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def cached_clip_vectors(
    space: EmotionSpace, data: Any, clips: Sequence[Any], num_frames: int, folder: Path
) -> dict[str, Float[Tensor, "n 512"]]:
    """`clip_vectors`, read from `folder` when the same clips of the same store met the same weights before."""
    names = " ".join(clip.id for clip in clips)
    content = f"{data.store.hash} {weights_hash(space)} {data.resolution} {num_frames} {names}"
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as known:
            return {name: torch.from_numpy(known[name]) for name in known.files}
    space.eval()
    with torch.no_grad():
        vectors = clip_vectors(space, data, clips, num_frames, next(space.parameters()).device)
    vectors = {name: rows.cpu() for name, rows in vectors.items()}
    with atomic_file(path) as file:
        np.savez(file, **{name: rows.numpy() for name, rows in vectors.items()})  # pyright: ignore[reportArgumentType]
    return vectors
