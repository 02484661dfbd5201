"""A word-level tokenizer over the lexicon: what the stand-ins read, in place of byte-pair encodings."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from toyworld.lexicon import vocabulary

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
