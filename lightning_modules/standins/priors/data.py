"""Training material of the stand-ins: captioned pictures and captions, in endless step-indexed order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from datamodules.batches import Batch
from lightning_modules.standins.priors.tokenizer import WordTokenizer
from toyworld.lexicon import corpus, lexicon, with_article
from toyworld.pairs import PairSet

HELD_OUT_EVERY = 6
"""Each sixth person of the pictures is kept for evaluation."""

CORPUS_LINES = 8192


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pictures in [-1, 1] and the word numbers of their captions."""

    image: Float[Tensor, "b 3 64 64"]
    tokens: Int[Tensor, "b n"]
    label: Int[Tensor, " b"]
    """A number for each style and level; scenes have each their own."""


@dataclass(frozen=True)
class TextBatch(Batch):
    """Word numbers of captions, padded."""

    tokens: Int[Tensor, "b n"]


@dataclass(frozen=True)
class CaptionedPictures:
    """Pictures with their captions and the emotion's name; `style` is empty for a scene without a face."""

    images: UInt8[np.ndarray, "n 64 64 3"]
    captions: list[str]
    style: list[str]
    level: list[int]

    def __len__(self) -> int:
        return len(self.images)

    def labels(self) -> Int[np.ndarray, " n"]:
        """A number for each style and level; a scene, which is like no other, has its own."""
        named = zip(self.style, self.level, strict=True)
        names = [(style, level) if style else ("", i) for i, (style, level) in enumerate(named)]
        numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
        return np.array([numbers[name] for name in names])

    def tensor(self, indices: Int[np.ndarray, " b"]) -> Float[Tensor, "b 3 64 64"]:
        """Pictures in [-1, 1]."""
        return torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2).float() / 127.5 - 1


def split_people(pairs: PairSet) -> tuple[CaptionedPictures, CaptionedPictures]:
    """(training, held-out) pictures, of different people."""
    held_out = np.asarray(pairs.person) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return _subset(pairs, ~held_out), _subset(pairs, held_out)


def _subset(pairs: PairSet, keep: np.ndarray) -> CaptionedPictures:
    indices = np.flatnonzero(keep).tolist()
    return CaptionedPictures(
        np.asarray(pairs.images)[indices],
        [pairs.captions[i] for i in indices],
        [pairs.style[i] for i in indices],
        [pairs.level[i] for i in indices],
    )


class EndlessBatches:
    """Batch number k is a pure function of (seed, k); iteration begins at `start_step`."""

    def __init__(self, make: Callable[[np.random.Generator], Batch], seed: int, start_step: int = 0) -> None:
        self.make, self.seed, self.start_step = make, seed, start_step

    def __iter__(self) -> Iterator[Batch]:
        step = self.start_step
        while True:
            yield self.make(np.random.default_rng([self.seed, step]))
            step += 1


def picture_batches(
    pictures: CaptionedPictures, tokenizer: WordTokenizer, *, batch_size: int, seed: int
) -> EndlessBatches:
    """Random pairs of picture and caption."""

    tokens, labels = tokenizer(pictures.captions), torch.from_numpy(pictures.labels())

    def make(rng: np.random.Generator) -> PairBatch:
        indices = rng.choice(len(pictures), batch_size, replace=len(pictures) < batch_size)
        return PairBatch(pictures.tensor(indices), tokens[indices], labels[indices])

    return EndlessBatches(make, seed)


def caption_batches(tokenizer: WordTokenizer, *, batch_size: int, seed: int) -> EndlessBatches:
    """Random captions of the lexicon's grammar."""
    tokens = tokenizer(corpus(CORPUS_LINES, seed))

    def make(rng: np.random.Generator) -> TextBatch:
        return TextBatch(tokens[rng.integers(len(tokens), size=batch_size)])

    return EndlessBatches(make, seed)


Embed = Callable[..., Tensor]
"""Pictures, or texts, to unit vectors [b, d]."""


def zero_shot_accuracy(embed_image: Embed, embed_text: Embed, pictures: CaptionedPictures) -> dict[str, float]:
    """Share of pictures whose emotion's name is the nearest text: basic among the basic, other among the other."""
    named = sorted({style for style in pictures.style if style in lexicon().emotions})
    groups = {"basic": [n for n in named if n in EMOTIONS], "other": [n for n in named if n not in EMOTIONS]}
    result: dict[str, float] = {}
    for group, names in groups.items():
        if names:
            result[f"accuracy_{group}"] = _accuracy(embed_image, embed_text, pictures, names)
            result[f"chance_{group}"] = 1 / len(names)
    return result


def _accuracy(embed_image: Embed, embed_text: Embed, pictures: CaptionedPictures, names: Sequence[str]) -> float:
    prototypes = torch.stack([_prototype(embed_text, name) for name in names])
    indices = np.array([i for i, style in enumerate(pictures.style) if style in names])
    parts = np.array_split(indices, len(indices) // 256 + 1)
    vectors = torch.cat([embed_image(pictures.tensor(part)) for part in parts])
    answers = torch.tensor([names.index(pictures.style[i]) for i in indices])
    return (vectors @ prototypes.T).argmax(1).cpu().eq(answers).float().mean().item()


def _prototype(embed_text: Embed, emotion: str) -> Tensor:
    texts = [f"a person who looks {word}" for word in lexicon().emotions[emotion]]
    return F.normalize(embed_text(texts).mean(0), dim=-1)


@torch.no_grad()
def synonym_accuracy(embed_text: Embed) -> dict[str, float]:
    """Share of emotion words whose nearest other word names the same style, by cosine, and what chance would give."""
    words = [(style, word) for style, words in lexicon().emotions.items() for word in words]
    vectors = torch.stack([_word(embed_text, word) for _, word in words])
    similar = F.normalize(vectors - vectors.mean(0), dim=-1)
    nearest = (similar @ similar.T).fill_diagonal_(-2).argmax(1).tolist()
    styles = [style for style, _ in words]
    right = [styles[index] == style for index, style in zip(nearest, styles, strict=True)]
    chance = [(styles.count(style) - 1) / (len(styles) - 1) for style in styles]
    return {"synonyms": float(np.mean(right)), "chance_synonyms": float(np.mean(chance))}


def _word(embed_text: Embed, word: str) -> Tensor:
    lines = [text.format(a=with_article(word), style=word, person="person") for text in lexicon().captions]
    texts = [" ".join(line.split()) for line in lines]
    return F.normalize(embed_text(texts).mean(0), dim=-1)
