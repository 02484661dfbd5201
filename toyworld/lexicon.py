"""Words of the toy world: what people say, and how an image of them is described.

The lists are in `lexicon.yaml`; this file holds the grammar. A caption names a style (an emotion's words and, for
its level, an intensity word); an unrelated caption names a scene.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml


@dataclass(frozen=True)
class Lexicon:
    """The word lists of `lexicon.yaml`."""

    emotions: Mapping[str, Sequence[str]]
    intensities: Mapping[int, Sequence[str]]
    people: Mapping[str, Sequence[str]]
    captions: Sequence[str]
    unrelated: Mapping[str, Sequence[str]]
    sentences: Sequence[str]
    short_sentences: Sequence[str]


@cache
def lexicon() -> Lexicon:
    """The lexicon, read once."""
    text = (Path(__file__).parent / "lexicon.yaml").read_text(encoding="utf-8")
    return Lexicon(**yaml.safe_load(text))


def _pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def style_phrase(emotion: str, level: int, rng: np.random.Generator) -> str:
    """`quietly happy`: an emotion's word with an intensity word of its level (1..3)."""
    word = _pick(lexicon().emotions[emotion], rng)
    intensity = "" if emotion == "neutral" else _pick(lexicon().intensities[level], rng)
    return f"{intensity} {word}".strip()


def with_article(phrase: str) -> str:
    """`a` or `an`, as the phrase begins; nothing before `a little ...`."""
    if phrase.startswith("a "):
        return ""
    return "an" if phrase[:1] in "aeiou" else "a"


def caption(emotion: str, level: int, rng: np.random.Generator, person: str = "person") -> str:
    """One sentence that describes an image of a `person` ("man", "woman", "person") with that style."""
    style = style_phrase(emotion, level, rng)
    names = [*lexicon().people[person], *lexicon().people["person"]]
    text = _pick(lexicon().captions, rng).format(style=style, a=with_article(style), person=_pick(names, rng))
    return " ".join(text.split())


def unrelated_caption(scene: str, rng: np.random.Generator) -> str:
    """A sentence about a scene ("sky", "sea", ...) without emotion words."""
    return _pick(lexicon().unrelated[scene], rng)


def corpus(num_lines: int, seed: int) -> list[str]:
    """Text alone, for a language model: captions of every style and level, one in eight lines unrelated."""
    rng = np.random.default_rng([seed, 71])
    words, scenes = lexicon(), sorted(lexicon().unrelated)
    emotions, lines = sorted(words.emotions), []
    for _ in range(num_lines):
        if rng.random() < 1 / 8:
            lines.append(unrelated_caption(_pick(scenes, rng), rng))
        else:
            person = _pick(sorted(words.people), rng)
            lines.append(caption(_pick(emotions, rng), int(rng.integers(1, 4)), rng, person))
    return lines


def vocabulary() -> list[str]:
    """Every word that a caption can hold, sorted: a word-level tokenizer's alphabet."""
    words = lexicon()
    lists = [*words.emotions.values(), *words.intensities.values(), *words.people.values(), *words.unrelated.values()]
    phrases = [phrase for phrases in lists for phrase in phrases] + [*words.captions, "a an"]
    tokens = {token for phrase in phrases for token in phrase.split() if "{" not in token}
    return sorted(tokens)
