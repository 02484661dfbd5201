"""Prompts: the texts of a style, from `prompts.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import yaml

from conventions.emotions import STYLES, Style


@dataclass(frozen=True)
class Prompts:
    """The lists of `prompts.yaml`."""

    templates: Sequence[str]
    emotions: Mapping[str, Sequence[str]]
    aliases: Mapping[str, Sequence[str]]
    levels: Mapping[int, Sequence[str]]
    unrelated: list[str]


@cache
def prompts() -> Prompts:
    """The prompt file, read once."""
    text = (Path(__file__).parent / "prompts.yaml").read_text(encoding="utf-8")
    return Prompts(**yaml.safe_load(text))


def fill(template: str, style: str) -> str:
    """A template with `style` in it and the article that fits ("a sad", "an angry")."""
    return template.format(style=style, a="an" if style[:1] in "aeiou" else "a")


@cache
def style_prompts(emotion: str, level: int) -> tuple[str, ...]:
    """Every prompt of a style: templates x intensity words x adjectives, one adjective's after another's.

    Level 0 is an unknown one: no intensity word.

    An emotion that the file does not list (an unseen style such as "happily_surprised") is its own adjective.
    """
    adjectives = prompts().emotions.get(emotion, [emotion.replace("_", " ")])
    words = [""] if emotion == "neutral" or level == 0 else prompts().levels[level]
    return tuple(
        fill(template, f"{word} {adjective}".strip())
        for adjective, word, template in product(adjectives, words, prompts().templates)
    )


def all_style_prompts() -> list[str]:
    """Every prompt of MEAD's 22 styles."""
    return [text for style in STYLES for text in style_prompts(style.emotion, style.level)]


def training_texts() -> list[str]:
    """Every text that a training batch may hold: the style prompts and the unrelated sentences."""
    return [*all_style_prompts(), *prompts().unrelated]


def style_prompt(emotion: str, level: int, template_index: int) -> str:
    """One prompt of a style; indices wrap around, index 0 is the plainest."""
    options = style_prompts(emotion, level)
    return options[template_index % len(options)]


def plain_prompts(emotion: str) -> tuple[str, ...]:
    """Prompts of an emotion without its level: the classes of unseen styles."""
    return word_prompts(prompts().emotions.get(emotion, [emotion.replace("_", " ")])[0])


def word_prompts(word: str) -> tuple[str, ...]:
    """Every template with a word in it."""
    return tuple(fill(template, word) for template in prompts().templates)


@cache
def synonyms() -> Mapping[str, Sequence[str]]:
    """Words of each emotion that no training prompt holds, equally many of each."""
    return yaml.safe_load((Path(__file__).parent / "synonyms.yaml").read_text(encoding="utf-8"))


@cache
def _words() -> dict[str, str]:
    """Word -> the basic emotion that it names."""
    lists = [(emotion, word) for emotion, words in prompts().emotions.items() for word in words]
    lists += [(emotion, word) for emotion, words in prompts().aliases.items() for word in words]
    return {word: emotion for emotion, word in lists}


def named_emotions(text: str) -> list[str]:
    """The basic emotions whose words stand in a text, in order and each once."""
    found = [_words()[word] for word in _tokens(text) if word in _words()]
    return list(dict.fromkeys(found))


def named_level(text: str) -> int:
    """The level whose intensity word stands in a text; 2 when none does."""
    tokens = f" {' '.join(_tokens(text))} "
    named = [level for level, words in prompts().levels.items() for word in words if word and f" {word} " in tokens]
    return named[0] if named else 2


def _tokens(text: str) -> list[str]:
    return text.lower().replace("_", " ").replace(",", " ").replace(".", " ").split()


def styles_of(text: str) -> list[Style]:
    """MEAD's styles that a text names: its emotions at its level (neutral at level 1)."""
    level = named_level(text)
    styles = [Style(emotion, 1 if emotion == "neutral" else level) for emotion in named_emotions(text)]
    return [style for style in styles if style in STYLES]
