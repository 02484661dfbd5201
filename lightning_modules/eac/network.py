"""The network of EAC: speech features, emotion and identity in, 64 expression coefficients a frame out.

Speech of any length is worked through in bounded memory: frame by frame as it comes, or in chunks that equal one pass.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from datamodules.config import SpeechForm, canonical
from face3d.coefficients import EXPRESSION, IDENTITY
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM, EmotionCode
from lightning_modules.eac.backbones import State, build_backbone
from lightning_modules.eac.config import BackboneConfig

NUM_EXPRESSION = EXPRESSION.stop - EXPRESSION.start
NUM_IDENTITY = IDENTITY.stop - IDENTITY.start

NUM_POSE = 6
"""Three angles and a translation."""

DEVIATION_FLOOR = 0.05
"""No coefficient counts as quieter than this share of the liveliest one."""


class Standardisation(nn.Module):
    """Mean and deviation of a quantity over the training data, set once before training and kept with the weights."""

    mean: Tensor
    """[d]; 0 until set."""
    deviation: Tensor
    """[d], at least a share of the largest; 1 until set."""
    known: Tensor
    """1 once the two are set."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("known", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def set(self, mean: Float[Tensor, " d"], deviation: Float[Tensor, " d"]) -> None:
        """Take these moments, unless some are set."""
        if not self.known:
            self.mean.copy_(mean)
            self.deviation.copy_(floored(deviation))
            self.known.fill_(1)


def floored(deviation: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Deviations of at least `DEVIATION_FLOOR` times the largest."""
    return deviation.clamp(min=(deviation.max() * DEVIATION_FLOOR).clamp(min=1e-6))


def speech_form_of(state: Mapping[str, Tensor], name: str) -> SpeechForm:
    """The form of the speech feature `name` for which the weights of a network or of an `EACModule` were trained."""
    prefix = "network." if any(key.startswith("network.") for key in state) else ""
    statistics = f"{prefix}sound_statistics."
    last = len(next(value for key, value in state.items() if key in (f"{statistics}mean", f"{statistics}total")))
    rows = state[f"{prefix}sound.0.weight"].shape[1] // last
    return SpeechForm(canonical(name), (last,) if rows == 1 else (rows, last))


class ExpressionNetwork(nn.Module):
    """Speech features, emotion and identity to expression coefficients.

    Each frame enters the backbone as the sum of two projections: of its standardised speech feature, and of the
    condition (emotion vector, intensity token, identity), one vector for the whole speech. Outputs are de-standardised.

    Args:
        config: the backbone.
        speech: what a frame of speech is.
        dropout: rate at the inputs and outputs of the backbone.
        pose: whether the network also predicts the pose of the head.
    """

    def __init__(
        self,
        config: BackboneConfig,
        speech: SpeechForm = SpeechForm(),  # noqa: B008 (frozen)
        dropout: float = 0.0,
        pose: bool = False,
    ) -> None:
        super().__init__()
        width = config.width
        self.sound_statistics = Standardisation(speech.shape[-1])
        self.expression_statistics = Standardisation(NUM_EXPRESSION)
        self.sound = nn.Sequential(nn.Linear(math.prod(speech.shape), width), nn.GELU(), nn.Linear(width, width))
        condition_width = EMOTION_DIM + TOKEN_DIM + NUM_IDENTITY
        self.condition = nn.Sequential(nn.Linear(condition_width, width), nn.GELU(), nn.Linear(width, width))
        self.backbone = build_backbone(config)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, NUM_EXPRESSION))
        self.dropout = nn.Dropout(dropout)
        self.pose_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, NUM_POSE)) if pose else None

    @property
    def streams(self) -> bool:
        """Whether the backbone takes speech in pieces (`advance`)."""
        return hasattr(self.backbone, "advance")

    @property
    def look_ahead(self) -> int:
        """Frames of speech that the network reads beyond the frame that it predicts, where it `streams`."""
        return getattr(self.backbone, "look_ahead", 0)

    def frames(
        self, speech: Float[Tensor, "b t *feature"], code: EmotionCode, identity: Float[Tensor, "b 80"]
    ) -> Float[Tensor, "b t d"]:
        """Inputs of the backbone.

        Args:
            speech: the speech feature of each video frame (25 fps), as `speech` describes it.
            code: one emotion for each speech.
            identity: identity coefficients of the face.

        Returns:
            A vector of the backbone's width for each frame.
        """
        statistics = self.sound_statistics
        standard = ((speech - statistics.mean) / statistics.deviation).flatten(2)
        sound = self.sound[2](self.dropout(self.sound[:2](self.dropout(standard))))
        condition = torch.cat([code.vector * EMOTION_DIM**0.5, code.token, identity], dim=-1)
        return sound + self.condition(condition)[:, None]

    def expression(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b t 64"]:
        """Expression coefficients from the outputs of the backbone.

        Args:
            hidden: outputs of the backbone.

        Returns:
            Expression coefficients of each frame.
        """
        statistics = self.expression_statistics
        return statistics.mean + statistics.deviation * self.head[1](self.dropout(self.head[0](hidden)))

    def forward(
        self,
        speech: Float[Tensor, "b t *feature"],
        mask: Bool[Tensor, "b t"],
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
    ) -> Float[Tensor, "b t 64"]:
        """Expression coefficients of whole speeches.

        Args:
            speech: the speech feature of each video frame (25 fps), as `speech` describes it.
            mask: True for frames of the speech, False for padding.
            code: one emotion for each speech.
            identity: identity coefficients of the face.

        Returns:
            Expression coefficients; those of padding have no meaning.
        """
        return self.expression(self.backbone(self.frames(speech, code, identity), mask))

    def with_pose(
        self,
        speech: Float[Tensor, "b t *feature"],
        mask: Bool[Tensor, "b t"],
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
    ) -> tuple[Float[Tensor, "b t 64"], Float[Tensor, "b t 6"]]:
        """Expression coefficients and the pose of the head; for a network made with `pose=True`.

        Args:
            speech: the speech feature of each video frame (25 fps), as `speech` describes it.
            mask: True for frames of the speech, False for padding.
            code: one emotion for each speech.
            identity: identity coefficients of the face.

        Returns:
            Expression coefficients, and angles and translation up to a constant, in the units of `losses.pose_of`.
        """
        assert self.pose_head is not None, "eac.pose=true makes a network of poses"
        hidden = self.backbone(self.frames(speech, code, identity), mask)
        return self.expression(hidden), self.pose_head(hidden)

    def advance(
        self,
        speech: Float[Tensor, "b t *feature"],
        new: int,
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
        state: State,
    ) -> tuple[Float[Tensor, "b n 64"], State]:
        """Expression coefficients of the next frames of a speech that arrives in pieces.

        Args:
            speech: the speech feature of those frames and of `look_ahead` further ones; fewer only at the speech's end.
            new: number of frames to predict.
            code: one emotion for each speech.
            identity: identity coefficients of the face.
            state: what the last call returned; None at the start.

        Returns:
            Expression coefficients of the `new` frames, and the state after them.
        """
        hidden, state = self.backbone.advance(self.frames(speech, code, identity), new, state)
        return self.expression(hidden), state


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
