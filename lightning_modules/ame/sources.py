"""What turns text or images into unit vectors of the emotion space: the "emotion encodings" of Table 3."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS, STYLES
from lightning_modules.ame.emotion import EMOTION_DIM, RefusedStyle
from lightning_modules.ame.prompts import all_style_prompts, styles_of, training_texts
from lightning_modules.ame.towers import ClipParts, GPT2Parts, SentenceParts, TextCache
from lightning_modules.training.parents import FrozenParts

PICTURES_AT_ONCE = 64


class TextSource(nn.Module):
    """Base of the text encodings: texts to unit vectors.

    A class of your own is named by import path in `ame.text.encoding` and constructed as `Class(config)` with the
    `TextConfig`.
    """

    open_vocabulary: bool = True
    """Whether the source encodes any text, also one without emotion."""

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Encode texts.

        Args:
            texts: b texts.

        Returns:
            Vectors of unit length.

        Raises:
            RefusedStyle: the source cannot express the style of a text.
        """

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Device of the source's weights."""


def mean_hidden(tower: Any, tokens: Tensor, mask: Tensor) -> Float[Tensor, "b d"]:
    """Mean of a language model's last hidden states over the tokens that the mask shows."""
    hidden = tower(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[..., None]
    return hidden.sum(1) / mask.sum(1, keepdim=True)


class CentredText(FrozenParts, TextSource):
    """A frozen text tower, seen from the middle of the style prompts.

    Embeddings of such prompts lie in a narrow cone (cosines of 0.8 to 0.9 in CLIP's space); their differences are what
    an emotion is. The mean of the style prompts is therefore the origin from which directions are taken.
    """

    tower: Any
    tokenize: Any

    def __init__(self, parts: ClipParts | SentenceParts) -> None:
        super().__init__()
        self.add_frozen("tower", parts.model)
        self.tokenize = parts.tokenize
        self.cache = TextCache(self._embed, training_texts())
        self._origin: Tensor | None = None

    @abstractmethod
    def _embed(self, texts: Sequence[str]) -> Tensor: ...

    @abstractmethod
    def _unit(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """Unit vectors of texts in the tower's own space."""

    @property
    def device(self) -> torch.device:
        """Where the source's weights are."""
        return next(self.tower.parameters()).device

    @property
    def origin(self) -> Float[Tensor, " d"]:
        """Mean unit vector of all style prompts."""
        if self._origin is None:
            self._origin = self._unit(all_style_prompts()).mean(0)
        return self._origin.to(self.device)

    def directions(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """Unit vectors from the origin to texts."""
        return F.normalize(self._unit(texts) - self.origin, dim=-1)


class ClipText(CentredText):
    """CLIP's frozen text tower: the space is CLIP's own, seen from the middle of the style prompts."""

    def _embed(self, texts: Sequence[str]) -> Tensor:
        return self.tower.encode_text(self.tokenize(texts).to(self.device))

    def _unit(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        return F.normalize(self.cache(texts, self.device), dim=-1)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return self.directions(texts)


class SentenceText(CentredText):
    """A frozen sentence encoder, mean of its last hidden states, seen from the middle of the style prompts.

    Nothing of it is trained, so that words which no prompt holds keep their place among the others.
    """

    def __init__(self, parts: SentenceParts) -> None:
        super().__init__(parts)
        self.width = parts.width

    def _embed(self, texts: Sequence[str]) -> Tensor:
        return F.normalize(mean_hidden(self.tower, *(part.to(self.device) for part in self.tokenize(texts))), dim=-1)

    def _unit(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        return self.cache(texts, self.device)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts; the dimensions that the encoder lacks are 0."""
        return F.pad(self.directions(texts), (0, EMOTION_DIM - self.width))


class GPT2Text(FrozenParts, TextSource):
    """GPT-2, frozen; the mean of its last hidden states goes through a learned linear map."""

    tower: Any

    def __init__(self, parts: GPT2Parts) -> None:
        super().__init__()
        self.add_frozen("tower", parts.model)
        self.tokenize = parts.tokenize
        self.norm = nn.LayerNorm(parts.width, elementwise_affine=False)
        self.project = nn.Linear(parts.width, EMOTION_DIM)
        self.cache = TextCache(self._embed, training_texts())

    @property
    def device(self) -> torch.device:
        """Where the source's weights are."""
        return self.project.weight.device

    def _embed(self, texts: Sequence[str]) -> Tensor:
        return mean_hidden(self.tower, *(part.to(self.device) for part in self.tokenize(texts)))

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return F.normalize(self.project(self.norm(self.cache(texts, self.device))), dim=-1)


class StyleTable(TextSource):
    """One-hot: a learned vector for each of MEAD's 22 styles; it maps names of styles, and no other text.

    A text that names several emotions is the mean of their styles; one that names none is refused.
    """

    open_vocabulary = False

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(len(STYLES), EMOTION_DIM) * EMOTION_DIM**-0.5)

    @property
    def device(self) -> torch.device:
        """Where the source's weights are."""
        return self.table.device

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts; RefusedStyle for a style that is neither one of the 22 nor made of them."""
        shares = torch.stack([_shares(text) for text in texts]).to(self.device)
        return F.normalize(shares @ F.normalize(self.table, dim=-1), dim=-1)


def _shares(text: str) -> Float[Tensor, " 22"]:
    styles = styles_of(text)
    if not styles:
        known = ", ".join(EMOTIONS)
        raise RefusedStyle(
            f"emotion: the one-hot encoding cannot express {text!r}; it takes {known} and mixtures of them"
        )
    shares = torch.zeros(len(STYLES))
    shares[[STYLES.index(style) for style in styles]] = 1 / len(styles)
    return shares


class ClipImage(FrozenParts):
    """CLIP's frozen image tower, prepared as CLIP itself does, and a small residual adapter that starts as zero.

    As with texts, directions are taken from a middle: the mean unit vector of training images, set once before
    training by `set_origin` and kept with the weights.
    """

    tower: Any
    origin: Tensor
    """[512]; 0 until set."""
    origin_set: Tensor
    """1 once `origin` is set."""

    def __init__(self, parts: ClipParts, adapter_width: int, dropout: float) -> None:
        super().__init__()
        self.add_frozen("tower", parts.model)
        self.prepare = parts.prepare
        out = nn.Linear(adapter_width, EMOTION_DIM)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.adapter = nn.Sequential(nn.Dropout(dropout), nn.Linear(EMOTION_DIM, adapter_width), nn.GELU(), out)
        self.register_buffer("origin", torch.zeros(EMOTION_DIM))
        self.register_buffer("origin_set", torch.zeros((), dtype=torch.int64))

    def _embed(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        return F.normalize(self.tower.encode_image(self.prepare(images)), dim=-1)

    @torch.no_grad()
    def set_origin(self, images: Float[Tensor, "n 3 h w"]) -> None:
        """Take the mean unit vector of these images in [-1, 1] as the origin, unless one is set."""
        if not self.origin_set:
            vectors = torch.cat([self._embed(part.to(self.origin.device)) for part in images.split(PICTURES_AT_ONCE)])
            self.origin.copy_(vectors.double().mean(0))
            self.origin_set.fill_(1)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        """Unit vectors of face images in [-1, 1]."""
        base = F.normalize(self._embed(images) - self.origin, dim=-1)
        return F.normalize(base + self.adapter(base * EMOTION_DIM**0.5), dim=-1)
