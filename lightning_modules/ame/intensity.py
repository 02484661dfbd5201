"""The intensity token: an ordinal scale neutral < 1 < 2 < 3 in a 64-d token whose zero is the null point."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS, NUM_LEVELS
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM

NEUTRAL = EMOTIONS.index("neutral")


def ordinal_level(emotion: Int[Tensor, " b"], level: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """Place on the scale of intensity: 0 for neutral, whatever level MEAD files it under, else the level 1..3."""
    return torch.where(emotion == NEUTRAL, 0, level)


def is_level_known(emotion: Int[Tensor, " b"], level: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
    """False where a clip's data set states no level; neutral needs none."""
    return (emotion == NEUTRAL) | (level > 0)


class IntensityHead(nn.Module):
    """Unit vector -> token, and token -> level.

    The token's component along `axis` is the score. Four rising anchors on it stand for the levels 0..3 and the
    thresholds lie midway between them, as in cumulative-link models (McCullagh 1980). The zero token, the null
    point of texts that have nothing to do with emotion, scores 0, below the first anchor.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(EMOTION_DIM, width), nn.GELU(), nn.Linear(width, TOKEN_DIM))
        self.axis = nn.Parameter(torch.full((TOKEN_DIM,), TOKEN_DIM**-0.5))
        self.gaps = nn.Parameter(torch.ones(NUM_LEVELS + 1))

    def forward(self, vector: Float[Tensor, "b 512"]) -> Float[Tensor, "b 64"]:
        """Tokens of unit vectors."""
        return self.layers(vector * EMOTION_DIM**0.5)

    @property
    def anchors(self) -> Float[Tensor, " 4"]:
        """Scores of the levels 0..3, rising."""
        return F.softplus(self.gaps).cumsum(0)

    @property
    def thresholds(self) -> Float[Tensor, " 3"]:
        """Scores above which the level is at least 1, 2, 3."""
        return (self.anchors[1:] + self.anchors[:-1]) / 2

    def score(self, token: Float[Tensor, "b 64"]) -> Float[Tensor, " b"]:
        """Unbounded intensity of tokens."""
        return token @ self.axis

    def level(self, token: Float[Tensor, "b 64"]) -> Float[Tensor, " b"]:
        """Level in 0..3 of tokens: linear between the anchors."""
        score, anchors = self.score(token)[:, None], self.anchors
        steps = (score - anchors[:-1]) / (anchors[1:] - anchors[:-1])
        return steps.clamp(0, 1).sum(-1)

    def at_level(self, token: Float[Tensor, "b 64"], level: Float[Tensor, " b"]) -> Float[Tensor, "b 64"]:
        """Tokens moved along the axis to the anchors' score at `level` (0..3)."""
        below = level.clamp(0, NUM_LEVELS - 1e-6).floor().long()
        anchors = self.anchors
        target = torch.lerp(anchors[below], anchors[below + 1], level.clamp(0, NUM_LEVELS) - below)
        shift = (target - self.score(token)) / self.axis.square().sum()
        return token + shift[:, None] * self.axis


def ordinal_loss(
    score: Float[Tensor, " b"],
    thresholds: Float[Tensor, " 3"],
    level: Int[Tensor, " b"],
    known: Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the three questions "at least level 1, 2, 3?" (Cao et al. 2020, CORAL).

    Over those whose level is `known`; by default all. 0 where none is.
    """
    steps = torch.arange(1, len(thresholds) + 1, device=level.device)
    answers = score[:, None] - thresholds, (level[:, None] >= steps).float()
    if known is None:
        return F.binary_cross_entropy_with_logits(*answers)
    losses = F.binary_cross_entropy_with_logits(*answers, reduction="none").mean(1)
    return (losses * known).sum() / known.sum().clamp(min=1)


def null_loss(token: Float[Tensor, "n 64"]) -> Float[Tensor, ""]:
    """Mean squared length of the tokens of emotion-unrelated prompts: they belong at the null point."""
    return token.square().sum(-1).mean()
