"""Transformer, GRU and MLP behind one interface.

They share one budget of weights, so that Table 3 compares architectures and not sizes.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.eac.attention import TransformerLayer, window_mask
from lightning_modules.eac.config import BACKBONES, BackboneConfig

State = Tensor | None
"""What a backbone remembers of the speech so far; None before its beginning."""


class Backbone(nn.Module):
    """Features [b, t, d] -> features [b, t, d]. Frame t depends on no frame later than t + `look_ahead`."""

    look_ahead: int = 0

    @abstractmethod
    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Whole sequences; what the mask hides has no influence on what it shows."""

    @abstractmethod
    def advance(self, inputs: Float[Tensor, "b t d"], new: int, state: State) -> tuple[Float[Tensor, "b n d"], State]:
        """Outputs of the next `new` frames, and the state after them.

        `inputs` are those frames and up to `look_ahead` further ones; fewer only where the speech ends.
        """


class Transformer(Backbone):
    """Windowed self-attention; its state is the stretch of inputs that the layers together look back on."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.past, self.future = config.past, config.future
        self.layers = nn.ModuleList(TransformerLayer(config.width, config.heads) for _ in range(config.layers))
        self.look_ahead = config.layers * config.future
        self.look_behind = config.layers * config.past

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Whole sequences."""
        seen = window_mask(mask, self.past, self.future)
        for layer in self.layers:
            inputs = layer(inputs, seen)
        return inputs

    def advance(self, inputs: Float[Tensor, "b t d"], new: int, state: State) -> tuple[Float[Tensor, "b n d"], State]:
        """The next frames, from the kept inputs and these."""
        context = inputs if state is None else torch.cat([state, inputs], dim=1)
        start = context.shape[1] - inputs.shape[1]
        outputs = self(context, context.new_ones(context.shape[:2], dtype=torch.bool))
        kept = context[:, max(0, start + new - self.look_behind) : start + new]
        return outputs[:, start : start + new], kept


class GRU(Backbone):
    """Forward recurrence; the output of frame t is read off `look_ahead` frames later."""

    def __init__(self, config: BackboneConfig, hidden: int) -> None:
        super().__init__()
        self.look_ahead = config.layers * config.future
        self.recurrence = nn.GRU(config.width, hidden, num_layers=GRU_LAYERS, batch_first=True)
        self.out = nn.Linear(hidden, config.width)

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Whole sequences; beyond its end a sequence continues as zeros."""
        padded = F.pad(inputs * mask[..., None], (0, 0, 0, self.look_ahead))
        return self.out(self.recurrence(padded)[0][:, self.look_ahead :])

    def advance(self, inputs: Float[Tensor, "b t d"], new: int, state: State) -> tuple[Float[Tensor, "b n d"], State]:
        """The next frames, from the state after those before them; the next call reads the look-ahead again."""
        inputs = F.pad(inputs, (0, 0, 0, new + self.look_ahead - inputs.shape[1]))
        hidden, state = self.recurrence(inputs[:, :new], state)
        if self.look_ahead:
            ahead, _ = self.recurrence(inputs[:, new:], state)
            hidden = torch.cat([hidden, ahead], dim=1)[:, self.look_ahead :]
        return self.out(hidden), state


GRU_LAYERS = 2


class MLPBlock(nn.Module):
    """Pre-norm residual block."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, inputs: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Inputs plus what the layers make of them."""
        return inputs + self.layers(inputs)


class MLP(Backbone):
    """Each frame by itself."""

    def __init__(self, config: BackboneConfig, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(MLPBlock(config.width, hidden) for _ in range(config.layers)))

    def forward(self, inputs: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Whole sequences."""
        return self.blocks(inputs)

    def advance(self, inputs: Float[Tensor, "b t d"], new: int, state: State) -> tuple[Float[Tensor, "b n d"], State]:
        """The next frames."""
        return self.blocks(inputs[:, :new]), None


def num_parameters(module: nn.Module) -> int:
    """Count of trainable weights."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _fitted(make: Callable[[int], Backbone], budget: int) -> Backbone:
    """The backbone of the hidden width, a multiple of 8, whose count of weights is nearest to the budget."""
    with torch.device("meta"):
        counts = {hidden: num_parameters(make(hidden)) for hidden in _widths(make, budget)}
    return make(min(counts, key=lambda hidden: abs(counts[hidden] - budget)))


def _widths(make: Callable[[int], Backbone], budget: int) -> range:
    """Widths around the one where the count, which grows with the width, passes the budget."""
    low, high = 1, 1
    while num_parameters(make(8 * high)) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if num_parameters(make(8 * middle)) < budget else (low, middle)
    return range(8 * low, 8 * high + 1, 8)


def build_backbone(config: BackboneConfig) -> Any:
    """The backbone of a configuration; GRU and MLP are as wide as the Transformer's count of weights allows.

    A class of your own (`eac.backbone.kind: module:Class`) is made as `Class(config)` and needs `forward` alone; with
    `advance` and `look_ahead` it also streams.
    """
    make = BACKBONES.load(config.kind)
    if make not in (GRU, MLP):
        return make(config)
    with torch.device("meta"):
        budget = num_parameters(Transformer(config))
    return _fitted(lambda hidden: make(config, hidden), budget)
