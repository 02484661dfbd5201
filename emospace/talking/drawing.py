"""From speech to frames: expression, motion, HEF, and its frames on the portrait's image."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from datamodules.speech import SpeechPiece
from emospace.talking.emotion import EmotionTrack
from emospace.talking.motion import Motion, loudness
from emospace.talking.portrait import Portrait
from face3d.coefficients import IDENTITY
from face3d.morphable import MorphableModel
from face3d.renderer import Renderer
from lightning_modules.eac.backbones import State
from lightning_modules.eac.network import ExpressionNetwork
from lightning_modules.hef.enlarge import Enlarger, Place, Source, to_bytes
from lightning_modules.pipeline import Pipeline


class Speech(NamedTuple):
    """Some frames of speech as they arrive."""

    feature: Float[Tensor, "t *feature"]
    """What EAC receives."""
    energy: Float[Tensor, " t"]
    """Log energy."""

    @classmethod
    def of(cls, piece: SpeechPiece) -> "Speech":
        """A piece of a recording or of a stream."""
        return cls(torch.tensor(piece.speech), loudness(torch.tensor(piece.mfcc)))


class Canvas:
    """Draws driven faces of one portrait on its image."""

    def __init__(self, pipeline: Pipeline, portrait: Portrait) -> None:
        self.pipeline, device, reference = pipeline, pipeline.hef.device, portrait.reference
        self.identity = reference.coefficients.to(device)[None, IDENTITY]
        self._encoded = pipeline.encode(reference)
        square = portrait.square
        place = Place(torch.from_numpy(square.matrix), torch.tensor([square.x, square.y], dtype=torch.float64))
        source = Source(
            reference.image.to(device),
            reference.coefficients.to(device)[None],
            reference.placement.to(device)[None],
            portrait.correction.to(device)[None],
        )
        picture = torch.from_numpy(portrait.picture).to(device)
        self._enlarger = Enlarger(pipeline.hef.renderer.model, source, picture, place)

    def draw(
        self, coefficients: Float[Tensor, "t 257"], placement: Float[Tensor, "t 3"], track: EmotionTrack, start: int
    ) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        """The frames `start`, `start + 1`, ... of a video."""
        rows, places = (x.to(self.pipeline.hef.device) for x in (coefficients, placement))
        made = self.pipeline.hef.drive(self._encoded, rows, places, track.frames(start, len(rows)))
        for frame in self._enlarger.frames(made, rows, places):
            yield frame.cpu().numpy()


RENDERED = 256
"""Pixels of a video of the driven 3D face."""


@dataclass(frozen=True)
class DrivenFace:
    """Draws the 3D face that drives HEF, and passes each frame on."""

    model: MorphableModel
    show: Callable[[UInt8[np.ndarray, "t h w 3"]], None]

    def __call__(self, coefficients: Float[Tensor, "t 257"], placement: Float[Tensor, "t 3"]) -> None:
        """Draw the next frames."""
        self.show(to_bytes(Renderer(self.model, RENDERED)(coefficients, placement).image).cpu().numpy())


def perform(
    pipeline: Pipeline,
    canvas: Canvas,
    motion: Motion,
    speech: Iterable[Speech],
    tracks: tuple[EmotionTrack, EmotionTrack],
    at_once: int,
    driven: DrivenFace | None = None,
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """Frames of a portrait that speaks, drawn `at_once` at a time; nothing is kept but what EAC looks back on.

    `speech` arrives in pieces of any length; `tracks` are the emotion for EAC and for HEF; `driven` draws the same
    frames as a 3D face.
    """
    expressions = express(pipeline.eac.network, speech, tracks[0], canvas.identity)
    start = 0
    for piece in rechunk(expressions, at_once):
        expression, energy = piece[:, :-1], piece[:, -1]
        coefficients, placement = motion.next(expression, energy, tracks[0].frames(start, len(piece)).level.cpu())
        if driven:
            driven(coefficients, placement)
        yield from canvas.draw(coefficients, placement, tracks[1], start)
        start += len(piece)


def express(
    network: ExpressionNetwork, pieces: Iterable[Speech], track: EmotionTrack, identity: Float[Tensor, "1 80"]
) -> Iterator[Float[Tensor, "_ 65"]]:
    """Expression, and in the last column the log energy, of speech that arrives in pieces, on the CPU.

    All frames but the last `network.look_ahead` that have arrived are known after each piece; all frames after the last
    piece where the backbone does not stream.
    """
    if not network.streams:
        yield _whole(network, Speech(*map(torch.cat, zip(*pieces, strict=True))), track, identity)
        return
    waiting: Speech | None = None
    state: State = None
    start = 0
    for piece in pieces:
        waiting = piece if waiting is None else Speech(*map(torch.cat, zip(waiting, piece, strict=True)))
        if (ready := len(waiting.energy) - network.look_ahead) > 0:
            known, state = _advance(network, waiting, ready, track, identity, state, start)
            waiting, start = Speech(waiting.feature[ready:], waiting.energy[ready:]), start + ready
            yield known
    if waiting is not None and len(waiting.energy):
        yield _advance(network, waiting, len(waiting.energy), track, identity, state, start)[0]


@torch.no_grad()
def _whole(network: ExpressionNetwork, speech: Speech, track: EmotionTrack, identity: Tensor) -> Tensor:
    """All frames of `speech`; each run of one emotion is cut from the whole speech in that emotion."""
    parts, done, length = [], 0, len(speech.energy)
    window = speech.feature[None].to(identity.device)
    mask = torch.ones(1, length, dtype=torch.bool, device=identity.device)
    for count, code in track.spans(0, length):
        parts.append(network(window, mask, code, identity)[0, done : done + count].cpu())
        done += count
    return torch.cat([torch.cat(parts), speech.energy[:, None]], dim=1)


@torch.no_grad()
def _advance(
    network: ExpressionNetwork,
    speech: Speech,
    new: int,
    track: EmotionTrack,
    identity: Tensor,
    state: State,
    start: int,
) -> tuple[Tensor, State]:
    """The first `new` frames of `speech`, in runs of one emotion."""
    parts, done = [], 0
    device = identity.device
    for count, code in track.spans(start, new):
        window = speech.feature[None, done : done + count + network.look_ahead].to(device)
        expression, state = network.advance(window, count, code, identity, state)
        parts.append(expression[0].cpu())
        done += count
    return torch.cat([torch.cat(parts), speech.energy[:new, None]], dim=1), state


def rechunk(pieces: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in pieces of exactly `size`, but for the last."""
    waiting: Tensor | None = None
    for piece in pieces:
        waiting = piece if waiting is None else torch.cat([waiting, piece])
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting is not None and len(waiting):
        yield waiting
