"""Attention over a finite window with rotary positions: a frame's context does not depend on where a chunk begins."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


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
