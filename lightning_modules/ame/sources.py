"""What turns text or images into unit vectors of the emotion space: the "emotion encodings" of Table 3."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS, STYLES
from conventions.errors import UserError
from lightning_modules.ame.emotion import EMOTION_DIM
from lightning_modules.ame.prompts import all_style_prompts, styles_of
from lightning_modules.ame.towers import Frozen, TextCache
from lightning_modules.standins.priors.parts import ClipParts, GPT2Parts


class TextSource(nn.Module):
    """Texts -> unit vectors [b, 512]. `open_vocabulary`: any text has a place, also one without emotion."""

    open_vocabulary: bool = True

    @abstractmethod
    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the source's weights are."""


class ClipText(TextSource):
    """CLIP's frozen text tower: the space is CLIP's own, seen from the middle of the style prompts.

    CLIP's embeddings of such prompts lie in a narrow cone (cosines of 0.8 to 0.9); their differences are what an
    emotion is. The mean of the style prompts is therefore the origin from which directions are taken.
    """

    def __init__(self, tower: Frozen, parts: ClipParts) -> None:
        super().__init__()
        self.tower, self.tokenize = tower, parts.tokenize
        self.cache = TextCache(self._embed)
        self._origin: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the source's weights are."""
        return next(self.tower.parameters()).device

    @property
    def origin(self) -> Float[Tensor, "512"]:
        """Mean unit vector of all style prompts."""
        if self._origin is None:
            self._origin = F.normalize(self.cache(all_style_prompts(), self.device), dim=-1).mean(0)
        return self._origin.to(self.device)

    def _embed(self, texts: Sequence[str]) -> Tensor:
        return self.tower.network.encode_text(self.tokenize(texts).to(self.device))  # pyright: ignore[reportCallIssue]

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return F.normalize(F.normalize(self.cache(texts, self.device), dim=-1) - self.origin, dim=-1)


class GPT2Text(TextSource):
    """GPT-2, frozen; the mean of its last hidden states goes through a learned linear map."""

    def __init__(self, parts: GPT2Parts) -> None:
        super().__init__()
        self.tower, self.tokenize = Frozen(parts.model), parts.tokenize
        self.norm = nn.LayerNorm(parts.width, elementwise_affine=False)
        self.project = nn.Linear(parts.width, EMOTION_DIM)
        self.cache = TextCache(self._embed)

    @property
    def device(self) -> torch.device:
        """Where the source's weights are."""
        return self.project.weight.device

    def _embed(self, texts: Sequence[str]) -> Tensor:
        tokens, mask = (part.to(self.device) for part in self.tokenize(texts))
        hidden = self.tower.network(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[..., None]
        return hidden.sum(1) / mask.sum(1, keepdim=True)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b 512"]:
        """Unit vectors of texts."""
        return F.normalize(self.project(self.norm(self.cache(texts, self.device))), dim=-1)


class StyleTable(TextSource):
    """One-hot: a learned vector for each of MEAD's 22 styles; it knows styles by name and nothing of language.

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
        """Unit vectors of texts; UserError for a style that is neither one of the 22 nor made of them."""
        shares = torch.stack([_shares(text) for text in texts]).to(self.device)
        return F.normalize(shares @ F.normalize(self.table, dim=-1), dim=-1)


def _shares(text: str) -> Float[Tensor, " 22"]:
    styles = styles_of(text)
    if not styles:
        known = ", ".join(EMOTIONS)
        raise UserError(f"emotion: the one-hot encoding cannot express {text!r}; it knows {known} and mixtures of them")
    shares = torch.zeros(len(STYLES))
    shares[[STYLES.index(style) for style in styles]] = 1 / len(styles)
    return shares


class ClipImage(nn.Module):
    """CLIP's frozen image tower, prepared as CLIP itself does, and a small residual adapter that starts as zero.

    As with texts, directions are taken from the mean of what was seen: that of the training pictures.
    """

    count: Tensor
    total: Tensor

    def __init__(self, tower: Frozen, parts: ClipParts, adapter_width: int, dropout: float) -> None:
        super().__init__()
        self.tower, self.prepare = tower, parts.prepare
        out = nn.Linear(adapter_width, EMOTION_DIM)
        nn.init.zeros_(out.weight)
        nn.init.zeros_(out.bias)
        self.adapter = nn.Sequential(nn.Dropout(dropout), nn.Linear(EMOTION_DIM, adapter_width), nn.GELU(), out)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(EMOTION_DIM, dtype=torch.float64))

    @property
    def origin(self) -> Float[Tensor, "512"]:
        """Mean unit vector of the pictures seen in training; 0 before."""
        return (self.total / self.count.clamp(min=1)).float()

    @torch.no_grad()
    def _count_in(self, base: Float[Tensor, "b 512"]) -> None:
        self.count += len(base)
        self.total += base.double().sum(0)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        """Unit vectors of face images in [-1, 1]."""
        base = F.normalize(self.tower.network.encode_image(self.prepare(images)), dim=-1)  # pyright: ignore[reportCallIssue]
        if self.training:
            self._count_in(base)
        base = F.normalize(base - self.origin, dim=-1)
        return F.normalize(base + self.adapter(base * EMOTION_DIM**0.5), dim=-1)
