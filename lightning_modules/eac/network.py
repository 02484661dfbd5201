"""The network of EAC: MFCC windows, emotion and identity in, 64 expression coefficients a frame out."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from conventions.rates import MFCC_COEFFICIENTS, MFCC_WINDOW
from face3d.coefficients import EXPRESSION, IDENTITY
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM, EmotionCode
from lightning_modules.eac.backbones import State, build_backbone
from lightning_modules.eac.config import BackboneConfig

NUM_EXPRESSION = EXPRESSION.stop - EXPRESSION.start
NUM_IDENTITY = IDENTITY.stop - IDENTITY.start

DEVIATION_FLOOR = 0.05
"""No coefficient counts as quieter than this share of the liveliest one."""


class RunningStatistics(nn.Module):
    """Mean and deviation of a quantity over all training frames so far, kept with the weights."""

    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, size in (("count", ()), ("total", (width,)), ("squares", (width,))):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Float[Tensor, "n d"]) -> None:
        """Take in the rows of `values`."""
        values = values.double()
        self.count += len(values)
        self.total += values.sum(0)
        self.squares += values.square().sum(0)

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """Mean so far; 0 before the first update."""
        return (self.total / self.count.clamp(min=1)).float()

    @property
    def deviation(self) -> Float[Tensor, " d"]:
        """Standard deviation so far, at least a share of the largest; 1 before the first update."""
        count = self.count.clamp(min=1)
        variance = (self.squares / count - (self.total / count).square()).clamp(min=0)
        deviation = variance.sqrt().float()
        floor = (deviation.max() * DEVIATION_FLOOR).clamp(min=1e-6)
        return torch.where(self.count > 0, deviation.clamp(min=floor), torch.ones_like(deviation))


class ExpressionNetwork(nn.Module):
    """Backbone over frames, each the sum of its sound's and the condition's projection; outputs are de-standardised.

    The condition (emotion vector, intensity token, identity) is one vector for the whole speech.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width = config.width
        self.sound_statistics = RunningStatistics(MFCC_COEFFICIENTS)
        self.expression_statistics = RunningStatistics(NUM_EXPRESSION)
        self.sound = nn.Sequential(
            nn.Linear(MFCC_WINDOW * MFCC_COEFFICIENTS, width), nn.GELU(), nn.Linear(width, width)
        )
        condition_width = EMOTION_DIM + TOKEN_DIM + NUM_IDENTITY
        self.condition = nn.Sequential(nn.Linear(condition_width, width), nn.GELU(), nn.Linear(width, width))
        self.backbone = build_backbone(config)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, NUM_EXPRESSION))

    @property
    def look_ahead(self) -> int:
        """Frames of sound that must be known beyond the frame whose expression is wanted."""
        return self.backbone.look_ahead

    def frames(
        self, mfcc: Float[Tensor, "b t 28 13"], code: EmotionCode, identity: Float[Tensor, "b 80"]
    ) -> Float[Tensor, "b t d"]:
        """Inputs of the backbone."""
        statistics = self.sound_statistics
        sound = self.sound(((mfcc - statistics.mean) / statistics.deviation).flatten(2))
        condition = torch.cat([code.vector * EMOTION_DIM**0.5, code.token, identity], dim=-1)
        return sound + self.condition(condition)[:, None]

    def expression(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b t 64"]:
        """Expression coefficients of the backbone's outputs."""
        statistics = self.expression_statistics
        return statistics.mean + statistics.deviation * self.head(hidden)

    def forward(
        self,
        mfcc: Float[Tensor, "b t 28 13"],
        mask: Bool[Tensor, "b t"],
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
    ) -> Float[Tensor, "b t 64"]:
        """Expression of whole sequences."""
        return self.expression(self.backbone(self.frames(mfcc, code, identity), mask))

    def advance(
        self,
        mfcc: Float[Tensor, "b t 28 13"],
        new: int,
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
        state: State,
    ) -> tuple[Float[Tensor, "b n 64"], State]:
        """Expression of the next `new` frames, and the state after them (see `Backbone.advance`)."""
        hidden, state = self.backbone.advance(self.frames(mfcc, code, identity), new, state)
        return self.expression(hidden), state
