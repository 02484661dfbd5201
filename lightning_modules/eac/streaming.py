"""Speech of any length in bounded memory: frame by frame as it comes, or in chunks that equal one pass."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.eac.backbones import State
from lightning_modules.eac.network import NUM_EXPRESSION, ExpressionNetwork

CHUNK_FRAMES = 250
"""Frames of a chunk (10 s): long against what a Transformer looks back on, short against memory."""


def stream(
    network: ExpressionNetwork,
    pieces: Iterable[Float[Tensor, "_ *feature"]],
    code: EmotionCode,
    identity: Float[Tensor, "1 80"],
) -> Iterator[Float[Tensor, "_ 64"]]:
    """Expression of speech that arrives in pieces of features of any length.

    After each piece comes what can be known: all frames but the last `network.look_ahead` of those given, which follow
    with later pieces or at the end. Memory does not grow with the speech. A network that does not stream yields all
    frames at the end.
    """
    waiting: Tensor | None = None
    state: State = None
    for piece in pieces:
        waiting = piece if waiting is None else torch.cat([waiting, piece])
        ready = len(waiting) - network.look_ahead
        if network.streams and ready > 0:
            expression, state = _advance(network, waiting, ready, code, identity, state)
            waiting = waiting[ready:]
            yield expression
    if waiting is not None and len(waiting):
        yield _advance(network, waiting, len(waiting), code, identity, state)[0]


@torch.no_grad()
def _advance(
    network: ExpressionNetwork, speech: Tensor, new: int, code: EmotionCode, identity: Tensor, state: State
) -> tuple[Tensor, State]:
    if not network.streams:
        return network(speech[None], speech.new_ones(1, len(speech), dtype=torch.bool), code, identity)[0], None
    expression, state = network.advance(speech[None], new, code, identity, state)
    return expression[0], state


def predict_long(
    network: ExpressionNetwork,
    speech: Float[Tensor, "t *feature"],
    code: EmotionCode,
    identity: Float[Tensor, "1 80"],
    chunk_frames: int = CHUNK_FRAMES,
) -> Float[Tensor, "t 64"]:
    """Expression of one speech of any length; equals one pass, in time linear in its length where it `streams`."""
    chunk_frames = chunk_frames if network.streams else max(1, len(speech))
    pieces, state = [speech.new_zeros(0, NUM_EXPRESSION)], None
    for start in range(0, len(speech), chunk_frames):
        new = min(chunk_frames, len(speech) - start)
        available = speech[start : start + new + network.look_ahead]
        expression, state = _advance(network, available, new, code, identity, state)
        pieces.append(expression)
    return torch.cat(pieces)
