"""How a portrait moves: the speech's expression, the head's motion, blinks and gaze, in coefficients frame by frame.

What a living face does beside speaking is seeded and given one frame after another, 25 a second; frame k does not
depend on how many are asked for at once. It works on the coefficients of any face model (`face3d.coefficients`), and
is not used in tables.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from conventions.rates import VIDEO_FPS
from datamodules.mead import Reference
from emospace.talking.pose import HeadPose, turned
from face3d.camera import rotation
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TRANSLATION
from face3d.keypoints import NUM_KEYPOINTS
from face3d.morphable import MorphableModel, keypoint_model

BLINKS_PER_MINUTE = 20.0
"""At intensity 0: between rest (17) and conversation (26) of Bentivoglio et al. (1997)."""
STRESSED = 0.5
"""Share by which blinks are more frequent at intensity 3 (Haak et al. 2009 see rates rise with stress)."""
SHORTEST_PAUSE = 0.5
"""Seconds that lie at least between two blinks."""
BLINK_SECONDS = (0.16, 0.32)
"""Range of a blink's duration: 100 to 400 ms in people (Schiffman 2001)."""
CLOSING = 0.35
"""Share of a blink in which the lids close; they open more slowly."""

FIXATION_SECONDS = 1.2
"""Mean time for which the eyes rest on one point."""
GAZE_DEGREES = (2.0, 1.0)
"""Standard deviation of the resting points about the portrait's own gaze, sideways and up or down."""

SWAY_HERTZ = (0.11, 0.23, 0.47)
"""Slow swings that the head's motion is made of."""
SWAY_DEGREES = (1.0, 1.6, 0.8)
"""Standard deviation of pitch, yaw and roll of a speaker's head beside its nods."""
QUIET = 0.4
"""Share of the sway that is left in silence."""
NOD_DEGREES = 2.0
"""Nod of a syllable that is as loud as speech gets, over one that is as loud as its neighbourhood."""
ATTACK, NEIGHBOURHOOD = 0.12, 1.0
"""Seconds over which loudness is smoothed for nods, and over which its neighbourhood is."""
ONSET = 0.6
"""Seconds in which the motion begins: the first frame has the portrait's own pose."""
LOUD = (8.0, 24.0)
"""Log energy of MFCC (0 .. 30) that counts as silence, and as loud."""


class Blinks:
    """Closure of the lids in 0..1."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 1])
        self._frame, self._left = 0, self._pause()
        self._begin, self._length = -math.inf, 1.0

    def _pause(self) -> float:
        """Units of blink time to the next blink: one unit is the mean pause at the present rate."""
        return float(self._random.gamma(2.0, 0.5))

    def next(self, intensity: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """The next frames' closure for emotions of that intensity (0..3)."""
        return np.array([self._step(float(level)) for level in intensity], np.float32)

    def _step(self, intensity: float) -> float:
        time = self._frame / VIDEO_FPS
        rate = BLINKS_PER_MINUTE / 60 * (1 + STRESSED * np.clip(intensity / 3, 0, 1))
        if time >= self._begin + self._length + SHORTEST_PAUSE:
            self._left -= 1 / VIDEO_FPS / (1 / rate - SHORTEST_PAUSE - sum(BLINK_SECONDS) / 2)
        if self._left <= 0:
            self._begin, self._length = time, self._random.uniform(*BLINK_SECONDS)
            self._left = self._pause()
        self._frame += 1
        return lid_closure((time + 0.5 / VIDEO_FPS - self._begin) / self._length)


def lid_closure(phase: float) -> float:
    """Closure at a share 0..1 of a blink; 0 before and after."""
    if not 0 < phase < 1:
        return 0.0
    share = phase / CLOSING if phase < CLOSING else (1 - phase) / (1 - CLOSING)
    return math.sin(math.pi / 2 * min(share * 1.3, 1.0)) ** 2


class Gaze:
    """Turns of both eyes in degrees, (to the person's left, up): rests joined by jumps of one frame."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 2])
        self._place, self._rest = np.zeros(2), self._random.exponential(FIXATION_SECONDS)

    def next(self, count: int) -> Float[np.ndarray, "t 2"]:
        """The next frames."""
        return np.array([self._step() for _ in range(count)], np.float32).reshape(count, 2)

    def _step(self) -> np.ndarray:
        self._rest -= 1 / VIDEO_FPS
        if self._rest <= 0:
            self._rest = 0.2 + self._random.exponential(FIXATION_SECONDS - 0.2)
            self._place = self._random.normal(size=2).clip(-2, 2) * GAZE_DEGREES
        return self._place


class Sway:
    """Turns of the head in rad (pitch, yaw, roll): slow swings, larger while it speaks, and nods on loud syllables."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng([seed, 3])
        self._phases = random.uniform(0, 2 * math.pi, (3, len(SWAY_HERTZ)))
        self._detune = random.uniform(0.85, 1.15, (3, len(SWAY_HERTZ)))
        self._frame, self._near, self._far = 0, 0.0, 0.0

    def next(self, energy: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 3"]:
        """The next frames for speech of that log energy."""
        loud = np.clip((energy - LOUD[0]) / (LOUD[1] - LOUD[0]), 0, 1)
        return np.array([self._step(float(value)) for value in loud], np.float32).reshape(len(energy), 3)

    def _step(self, loud: float) -> np.ndarray:
        time = self._frame / VIDEO_FPS
        self._near += (loud - self._near) / (ATTACK * VIDEO_FPS)
        self._far += (loud - self._far) / (NEIGHBOURHOOD * VIDEO_FPS)
        self._frame += 1
        swings = np.sin(2 * math.pi * np.array(SWAY_HERTZ) * self._detune * time + self._phases)
        still = np.sin(self._phases)
        amplitude = math.sqrt(2 / len(SWAY_HERTZ)) * (QUIET + (1 - QUIET) * min(2 * self._far, 1.0))
        angles = amplitude * (swings - still * math.exp(-time / ONSET)).sum(-1) * SWAY_DEGREES
        angles[0] += NOD_DEGREES * (self._near - self._far)
        return np.radians(angles * (1 - math.exp(-time / ONSET)))


_BLINK_AXES = (("eye_closure_left", "eye_closure_right"), ("eyeBlink_L", "eyeBlink_R"))
UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)
"""Landmarks that meet in a closed eye."""

LEAST_GAP = 0.08
"""Share of the open lids' distance at which an eye counts as closed: lids that overlap would fold."""
MOST_CLOSED = 1.3
"""Greatest multiple of the closing movement."""

RIDGE = 1e-4
"""Regularisation of the expression that closes the eyes, against coefficients that cancel each other."""


def blink_direction(model: MorphableModel, coefficients: Float[Tensor, "257"]) -> Float[Tensor, "64"]:
    """Change of expression that closes the eyes of this face.

    Where the model names such movements, these; else the smallest change that brings the upper lids' landmarks to the
    lower ones' and leaves all others where they are (ridge regression).
    """
    delta = torch.zeros(EXPRESSION.stop - EXPRESSION.start)
    for names in _BLINK_AXES:
        if all(name in model.expression_names for name in names):
            delta[[model.expression_names.index(name) for name in names]] = 1.0
            return delta
    small = keypoint_model(model)
    points = small.shape(coefficients[None, IDENTITY], coefficients[None, EXPRESSION])[0].double()
    wanted = torch.zeros(NUM_KEYPOINTS, 3, dtype=torch.float64)
    wanted[list(UPPER_LIDS)] = points[list(LOWER_LIDS)] - points[list(UPPER_LIDS)]
    basis = small.expression_basis.flatten(1).double()
    gram = basis @ basis.T
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    solved = torch.linalg.solve(gram + ridge, basis @ wanted.flatten())
    delta[: len(solved)] = solved.float()[: len(delta)]
    return delta


class Lids:
    """Closes the eyes of one face from wherever its expression holds the lids, without one lid passing the other."""

    def __init__(self, model: MorphableModel, coefficients: Float[Tensor, "257"]) -> None:
        self.direction = blink_direction(model, coefficients)
        small = keypoint_model(model)
        shape = small.shape(coefficients[None, IDENTITY], torch.zeros(1, 1))[0]
        basis = torch.zeros(len(self.direction), NUM_KEYPOINTS)
        basis[: len(small.expression_basis)] = small.expression_basis[: len(basis), :, 1]
        self._open = _lid_gap(shape[:, 1])
        self._slope = _lid_gap(basis)
        self._closing = -(self._slope @ self.direction)

    def closed(self, expression: Float[Tensor, "t 64"], closure: Float[Tensor, " t"]) -> Float[Tensor, "t 64"]:
        """The expression with the lids brought together by a share `closure` of what lies between them."""
        gap = self._open + expression @ self._slope - LEAST_GAP * self._open
        amount = (gap / self._closing.clamp(min=1e-6)).clamp(0, MOST_CLOSED) * closure
        return expression + amount[:, None] * self.direction


def _lid_gap(heights: Float[Tensor, "*b 68"]) -> Float[Tensor, "*b"]:
    """Mean height of the upper lids' landmarks above the lower ones'."""
    return (heights[..., list(UPPER_LIDS)] - heights[..., list(LOWER_LIDS)]).mean(-1)


def gaze_change(model: MorphableModel, degrees: Float[np.ndarray, "t 2"]) -> Float[Tensor, "t 64"]:
    """Change of expression that turns the eyes; none where the model has no eyes that turn."""
    change = torch.zeros(len(degrees), EXPRESSION.stop - EXPRESSION.start)
    left, up = (torch.from_numpy(degrees[:, axis]) for axis in (0, 1))
    for name, turn in _gaze_axes(left, up).items():
        if name in model.expression_names:
            change[:, model.expression_names.index(name)] = turn.clamp(min=0)
    return change


def _gaze_axes(left: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Each named movement's strength, before negative ones are cut: procedural-v1's (25 and 20 degrees) and ARKit's."""
    own = {"gaze_left": left / 25, "gaze_right": -left / 25, "gaze_up": up / 20, "gaze_down": -up / 20}
    sides = {"eyeLookOut_L": left / 30, "eyeLookIn_L": -left / 30, "eyeLookIn_R": left / 30, "eyeLookOut_R": -left / 30}
    heights = {f"eyeLook{way}_{side}": sign * up / 25 for way, sign in (("Up", 1), ("Down", -1)) for side in "LR"}
    return own | sides | heights


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
