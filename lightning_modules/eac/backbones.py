"""Transformer (with attention within a window of frames), GRU and MLP behind one interface.

They share one budget of weights, so that Table 3 compares architectures and not sizes.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.eac.config import BACKBONES, BackboneConfig


def rotate(features: Float[Tensor, "b h t d"]) -> Float[Tensor, "b h t d"]:
    """Rotary position embedding (Su et al. 2021): pairs of channels turned by angles that grow with the frame."""
    steps, width = features.shape[-2:]
    rates = 10_000 ** -(torch.arange(0, width, 2, device=features.device) / width)
    angles = torch.arange(steps, device=features.device)[:, None] * rates
    cosine, sine = angles.cos().to(features.dtype), angles.sin().to(features.dtype)
    first, second = features.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def window_mask(mask: Bool[Tensor, "b t"], past: int, future: int) -> Bool[Tensor, "b 1 t s"]:
    """Which frames a frame attends to: `past` back, `future` ahead, within the mask; and a resting place, last."""
    places = torch.arange(mask.shape[1], device=mask.device)
    offset = places[None, :] - places[:, None]
    seen = ((offset >= -past) & (offset <= future))[None] & mask[:, None, :]
    return F.pad(seen, (0, 1), value=True)[:, None]


class WindowedAttention(nn.Module):
    """Multi-head attention within a window, and to one learned resting place outside of time.

    The share of attention on it is a measure of how many frames are in the window, and so of how near the beginning is.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.rest = nn.Parameter(torch.zeros(2, heads, 1, width // heads))
        self.out = nn.Linear(width, width)

    def forward(self, inputs: Float[Tensor, "b t d"], seen: Bool[Tensor, "b 1 t s"]) -> Float[Tensor, "b t d"]:
        """Attended features; `seen` from `window_mask`."""
        batch = len(inputs)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.query_key_value(inputs).chunk(3, dim=-1)
        )
        rest_key, rest_value = self.rest.to(key.dtype)[:, None].expand(-1, batch, -1, -1, -1)
        key, value = torch.cat([rotate(key), rest_key], dim=2), torch.cat([value, rest_value], dim=2)
        attended = F.scaled_dot_product_attention(rotate(query), key, value, attn_mask=seen)
        return self.out(attended.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Pre-norm attention and feed-forward, each added to the stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowedAttention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, inputs: Float[Tensor, "b t d"], seen: Bool[Tensor, "b 1 t s"]) -> Float[Tensor, "b t d"]:
        """Features of the next layer."""
        inputs = inputs + self.attention(self.norm_attention(inputs), seen)
        return inputs + self.feed_forward(self.norm_forward(inputs))


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
