"""AME's own metrics on test clips: each clip's picture and voice against the prompts of the styles."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import EMOTIONS, STYLES
from lightning_modules.ame.intensity import ordinal_level
from lightning_modules.ame.prompts import plain_prompts, style_prompts
from lightning_modules.ame.retrieval import (
    Labelled,
    alignment,
    direction,
    modality_gap,
    rank_correlation,
    retrieval,
    zero_shot,
)
from lightning_modules.ame.space import EmotionSpace


def picture_vector(space: EmotionSpace, frames: Float[Tensor, "t 3 h w"], num_frames: int) -> Float[Tensor, " 512"]:
    """Direction of the mean embedding of evenly spaced frames of a clip, ends left out."""
    places = torch.linspace(0, len(frames) - 1, num_frames + 2)[1:-1].round().long()
    return direction(space.encode_image(frames[places.to(frames.device)]).vector)


def voice_vector(space: EmotionSpace, mel: Float[Tensor, "t 80"]) -> Float[Tensor, " 512"]:
    """Embedding of a clip's whole sound."""
    mask = torch.ones(1, len(mel), dtype=torch.bool, device=mel.device)
    return space.encode_audio(mel[None], mask).vector[0]


def clip_vectors(
    space: EmotionSpace, data: Any, clips: Iterable[Any], num_frames: int, device: torch.device
) -> dict[str, Float[Tensor, "n 512"]]:
    """Vectors of clips by each modality other than text."""
    vectors: dict[str, list[Tensor]] = {name: [] for name in space.modalities if name != "text"}
    for clip in clips:
        item = data.clip_item(clip)
        if "image" in vectors:
            vectors["image"].append(picture_vector(space, item.frames.to(device), num_frames))
        if "audio" in vectors:
            vectors["audio"].append(voice_vector(space, item.mel.reshape(-1, item.mel.shape[-1]).to(device)))
    return {name: torch.stack(rows) for name, rows in vectors.items()}


def basic_clips(data: Any) -> list[Any]:
    """Test clips of MEAD's styles."""
    return [clip for clip in data.test_clips("basic") if clip.emotion in EMOTIONS]


def style_items(
    space: EmotionSpace, clips: Sequence[Any], vectors: dict[str, Float[Tensor, "n 512"]]
) -> dict[str, Labelled]:
    """What retrieval and the order of intensity are measured on: prompts of every style, and clips by modality."""
    styles = [_style(clip) for clip in clips]
    return {"text": prompt_vectors(space), **{name: _labelled(rows, styles) for name, rows in vectors.items()}}


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


def _style_metrics(space: EmotionSpace, items: dict[str, Labelled]) -> dict[str, float]:
    result = retrieval(items)
    for name, labelled in items.items():
        scores = intensity_scores(space, labelled.vectors)
        result[f"intensity_spearman/{name}"] = rank_correlation(scores, labelled.level)
    for first, second in combinations(items, 2):
        result[f"alignment/{first}-{second}"] = alignment(items[first], items[second])
        result[f"gap/{first}-{second}"] = modality_gap(items[first], items[second])
    return result


def unseen_metrics(
    space: EmotionSpace, vectors: dict[str, Float[Tensor, "n 512"]], names: Sequence[str]
) -> dict[str, float]:
    """Accuracy of clips of unseen styles among the eight emotions and all unseen styles, and its chance level."""
    classes = {name: space.encode_text(plain_prompts(name)).vector for name in [*EMOTIONS, *sorted(set(names))]}
    result = {f"unseen_accuracy/{modality}": zero_shot(rows, names, classes) for modality, rows in vectors.items()}
    return {**result, "unseen_chance": 1 / len(classes)}


@torch.no_grad()
def evaluate_space(space: EmotionSpace, data: Any, num_frames: int, device: torch.device) -> dict[str, float]:
    """All of AME's metrics: basic styles on identity-disjoint actors, then unseen styles where the data has them.

    A text encoding that cannot name every unseen style (one-hot) has no zero-shot accuracy.
    """
    clips = basic_clips(data)
    result = _style_metrics(space, style_items(space, clips, clip_vectors(space, data, clips, num_frames, device)))
    unseen = list(data.test_clips("unseen"))
    if unseen and space.text.open_vocabulary:
        vectors = clip_vectors(space, data, unseen, num_frames, device)
        result |= unseen_metrics(space, vectors, [clip.emotion for clip in unseen])
    return result


def _style(clip: Any) -> int:
    return next(i for i, style in enumerate(STYLES) if (style.emotion, style.level) == (clip.emotion, clip.level))
