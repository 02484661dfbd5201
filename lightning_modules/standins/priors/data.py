"""Data of the stand-ins: captioned images, and captions alone, as numbers of a word-level tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from conventions.emotions import EMOTIONS
from datamodules.batches import Batch, Moved
from datamodules.endless import EndlessData, item_loader
from lightning_modules.standins.config import ClipPriorConfig, GPT2PriorConfig
from toyworld.lexicon import corpus, lexicon, vocabulary, with_article
from toyworld.pairs import PairSet

PADDING, START, UNKNOWN = 0, 1, 2
FIRST_WORD = 3

CONTEXT = 16
"""Length of a text with start and end; the lexicon's longest caption has 11 words."""


class WordTokenizer:
    """Words to numbers: 0 padding, 1 start, 2 any unknown word, 3.. the words, and the largest number for the end.

    CLIP's text tower takes its embedding where the number is largest, that is at the end of the text.
    """

    def __init__(self, words: Sequence[str], length: int) -> None:
        self.numbers = {word: FIRST_WORD + index for index, word in enumerate(sorted(set(words)))}
        self.length = length
        self.end = FIRST_WORD + len(self.numbers)

    @property
    def size(self) -> int:
        """Count of numbers, for an embedding table."""
        return self.end + 1

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "b n"]:
        """Numbers of texts, cut or padded to the fixed length."""
        rows = torch.full((len(texts), self.length), PADDING, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            words = text.lower().replace(",", " ").replace(".", " ").split()[: self.length - 2]
            numbers = [START, *(self.numbers.get(word, UNKNOWN) for word in words), self.end]
            row[: len(numbers)] = torch.tensor(numbers)
        return rows


def word_tokenizer() -> WordTokenizer:
    """The tokenizer of both stand-ins: the lexicon's words."""
    return WordTokenizer(vocabulary(), length=CONTEXT)


def drop_words(tokens: Int[Tensor, "b n"], share: float, end: int) -> Int[Tensor, "b n"]:
    """The same tokens with a random `share` of the words made unknown."""
    is_word: Bool[Tensor, "b n"] = (tokens >= FIRST_WORD) & (tokens < end)
    dropped = torch.rand(tokens.shape, device=tokens.device) < share
    return torch.where(is_word & dropped, UNKNOWN, tokens)


HELD_OUT_EVERY = 6
"""Each sixth person of the images is kept for evaluation."""

CORPUS_LINES = 8192
TEST_CAPTIONS = 512
HELD_OUT_SEED = 1_000_003
"""Seed of the test's captions."""

PICTURES_AT_ONCE = 256


@dataclass(frozen=True)
class PairBatch(Batch):
    """Images in [-1, 1] and the word numbers of their captions."""

    image: Float[Tensor, "b 3 64 64"]
    tokens: Int[Tensor, "b n"]
    label: Int[Tensor, " b"]
    """A number for each style and level; scenes have each their own."""


@dataclass(frozen=True)
class TextBatch(Batch):
    """Word numbers of captions, padded."""

    tokens: Int[Tensor, "b n"]


@dataclass(frozen=True)
class CaptionedImages:
    """Images with their captions and the emotion's name; `style` is empty for a scene without a face."""

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
        """Images in [-1, 1]."""
        return torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2).float() / 127.5 - 1


def split_people(pairs: PairSet) -> tuple[CaptionedImages, CaptionedImages]:
    """(training, held-out) images, of different people."""
    held_out = np.asarray(pairs.person) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    return _subset(pairs, ~held_out), _subset(pairs, held_out)


def _subset(pairs: PairSet, keep: np.ndarray) -> CaptionedImages:
    indices = np.flatnonzero(keep).tolist()
    return CaptionedImages(
        np.asarray(pairs.images)[indices],
        [pairs.captions[i] for i in indices],
        [pairs.style[i] for i in indices],
        [pairs.level[i] for i in indices],
    )


@dataclass(frozen=True)
class StyledImages(Moved):
    """Images in [-1, 1] with the name of each one's emotion; empty for a scene without a face."""

    image: Float[Tensor, "b 3 64 64"]
    style: tuple[str, ...]


class PictureData(EndlessData):
    """Random pairs of image and caption; images of held-out people for the test."""

    def __init__(
        self, config: ClipPriorConfig, train: CaptionedImages, held_out: CaptionedImages, seed: int = 0
    ) -> None:
        super().__init__()
        self.config, self.train, self.held_out, self.seed = config, train, held_out, seed
        self._tokens = word_tokenizer()(train.captions)
        self._labels = torch.from_numpy(train.labels())

    @classmethod
    def load(cls, config: ClipPriorConfig, pairs: PairSet, seed: int = 0) -> "PictureData":
        """The toy world's captioned images."""
        return cls(config, *split_people(pairs), seed)

    def batch(self, step: int, rank: int = 0) -> PairBatch:
        """Batch number `step`: a pure function of (seed, step, rank)."""
        count, known = self.config.batch_size, len(self.train)
        rows = _generator(self.seed, step, rank).choice(known, count, replace=known < count)
        return PairBatch(self.train.tensor(rows), self._tokens[rows], self._labels[rows])

    def test_dataloader(self) -> list[DataLoader]:
        """The held-out images in order."""
        rows = np.arange(len(self.held_out))
        return [item_loader(np.array_split(rows, len(rows) // PICTURES_AT_ONCE + 1), self._styled)]

    def _styled(self, rows: np.ndarray) -> StyledImages:
        return StyledImages(self.held_out.tensor(rows), tuple(self.held_out.style[row] for row in rows))


class CaptionData(EndlessData):
    """Random captions of the lexicon's grammar; captions of another seed for the test."""

    def __init__(self, config: GPT2PriorConfig, seed: int = 0) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self._tokens = word_tokenizer()(corpus(CORPUS_LINES, seed))

    def batch(self, step: int, rank: int = 0) -> TextBatch:
        """Batch number `step`: a pure function of (seed, step, rank)."""
        rows = _generator(self.seed, step, rank).integers(len(self._tokens), size=self.config.batch_size)
        return TextBatch(self._tokens[rows])

    def test_dataloader(self) -> list[DataLoader]:
        """One batch of captions of a seed that training does not use."""
        return [item_loader([TextBatch(word_tokenizer()(corpus(TEST_CAPTIONS, HELD_OUT_SEED)))])]


def _generator(seed: int, step: int, rank: int) -> np.random.Generator:
    return np.random.default_rng([seed, step, rank] if rank else [seed, step])


Embed = Callable[..., Tensor]
"""Texts to unit vectors [b, d]."""


def zero_shot_accuracy(vectors: Float[Tensor, "n d"], styles: Sequence[str], embed_text: Embed) -> dict[str, float]:
    """Share of images' unit vectors whose emotion's name is the nearest text: basic among basic, other among other.

    `styles` names each image's emotion; images of none do not count.
    """
    named = sorted({style for style in styles if style in lexicon().emotions})
    groups = {"basic": [n for n in named if n in EMOTIONS], "other": [n for n in named if n not in EMOTIONS]}
    result: dict[str, float] = {}
    for group, names in groups.items():
        if names:
            prototypes = torch.stack([_prototype(embed_text, name) for name in names])
            rows = [i for i, style in enumerate(styles) if style in names]
            answers = torch.tensor([names.index(styles[i]) for i in rows])
            nearest = (vectors[rows] @ prototypes.T).argmax(1).cpu()
            result[f"accuracy_{group}"] = nearest.eq(answers).float().mean().item()
            result[f"chance_{group}"] = 1 / len(names)
    return result


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
