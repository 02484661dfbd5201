"""How a portrait moves: the speech's expression, the head's motion, blinks and gaze, in coefficients frame by frame."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.mead import Reference
from emospace.talking.alive import Blinks, Gaze, Lids, Sway, gaze_change
from emospace.talking.pose import HeadPose, turned
from face3d.camera import rotation
from face3d.coefficients import ANGLE, EXPRESSION, TRANSLATION
from face3d.morphable import MorphableModel

NECK = (0.0, -1.0, -0.8)
"""Point of the head, in decimetres, about which a natural motion turns it."""

LOUDNESS_STEPS = slice(12, 16)
"""10 ms steps of an MFCC window that lie within its frame; their first coefficient is the log energy."""


@dataclass(frozen=True)
class Liveliness:
    """What is added to speech; `head` None is a motion from the rhythm of the speech."""

    head: HeadPose | None = None
    blinks: bool = True
    gaze: bool = True
    seed: int = 0


class Motion:
    """The motion of one portrait through one speech, piece by piece."""

    def __init__(self, source: Reference, model: MorphableModel, lively: Liveliness) -> None:
        self._source, self._model, self._lively, self._start = source, model, lively, 0
        self._blinks, self._gaze, self._sway = Blinks(lively.seed), Gaze(lively.seed), Sway(lively.seed)
        self._lids = Lids(model, source.coefficients)

    def next(
        self, expression: Float[Tensor, "t 64"], energy: Float[Tensor, " t"], intensity: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t 257"], Float[Tensor, "t 3"]]:
        """Coefficients and placement of the next frames; `energy` is the speech's log energy, intensity 0..3."""
        coefficients, places = self._posed(energy)
        coefficients[:, EXPRESSION] = expression
        if self._lively.blinks:
            closure = torch.from_numpy(self._blinks.next(intensity.numpy()))
            coefficients[:, EXPRESSION] = self._lids.closed(expression, closure)
        if self._lively.gaze:
            coefficients[:, EXPRESSION] += gaze_change(self._model, self._gaze.next(len(expression)))
        self._start += len(expression)
        return coefficients, places

    def _posed(self, energy: Tensor) -> tuple[Tensor, Tensor]:
        if self._lively.head is not None:
            return self._lively.head.drive(self._source, self._start, len(energy))
        turn = rotation(torch.from_numpy(self._sway.next(energy.numpy())).double())
        coefficients = turned(self._source, turn)
        own, neck = rotation(self._source.coefficients[ANGLE].double()), torch.tensor(NECK, dtype=torch.float64)
        coefficients[:, TRANSLATION] += (neck @ own - neck @ turn @ own).float()
        return coefficients, self._source.placement.repeat(len(energy), 1)


def loudness(mfcc: Float[Tensor, "t 28 13"]) -> Float[Tensor, " t"]:
    """Log energy of each frame's own audio."""
    return mfcc[:, LOUDNESS_STEPS, 0].mean(1)
