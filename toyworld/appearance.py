"""What a toy actor looks like beyond the morphable model: hair, brows, beard, irises, lips, clothes, background."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[float, float, float]
HairStyle = Literal["bald", "cropped", "short", "parted", "voluminous", "bob", "long", "tied"]

HAIR_COLOURS: tuple[Colour, ...] = (
    (0.07, 0.05, 0.045), (0.13, 0.085, 0.06), (0.24, 0.15, 0.09), (0.38, 0.25, 0.14),
    (0.60, 0.45, 0.26), (0.45, 0.20, 0.09), (0.52, 0.50, 0.48), (0.03, 0.03, 0.035),
)  # fmt: skip
IRIS_COLOURS: tuple[Colour, ...] = (
    (0.20, 0.12, 0.07), (0.30, 0.18, 0.09), (0.34, 0.28, 0.14), (0.26, 0.34, 0.24), (0.26, 0.38, 0.50),
    (0.40, 0.46, 0.50),
)  # fmt: skip
_MEN: tuple[HairStyle, ...] = ("bald", "cropped", "short", "short", "parted", "parted", "voluminous", "long")
_WOMEN: tuple[HairStyle, ...] = ("parted", "voluminous", "bob", "bob", "long", "long", "tied", "tied")


@dataclass(frozen=True)
class Look:
    """Everything that is painted or added; lengths in decimetres, colours RGB in 0..1."""

    hair: HairStyle
    hair_colour: Colour
    hairline: float
    """Raises the front hairline (negative: lowers it, as a fringe does)."""
    hair_volume: float
    parting: float
    """Where the hair parts, -1 (right) to 1 (left)."""
    brow_colour: Colour
    brow_thickness: float
    brow_strength: float
    beard: float
    """0 shaved, 0.3 stubble, 1 full beard."""
    moustache: float
    iris: Colour
    lipstick: float
    lip_colour: Colour
    lashes: float
    freckles: float
    mole: tuple[float, float] | None
    """Frontal (x, y) of a mole, or none."""
    lines: float
    """Strength of the lines that age leaves."""
    shine: float
    cloth: Colour
    neckline: float
    """Depth of the cloth's neckline in front."""
    background: tuple[Colour, Colour]
    ear_size: float
    seed: int
    """Seeds the painted noise."""


def _colour(rng: np.random.Generator, choices: tuple[Colour, ...], spread: float) -> Colour:
    chosen = np.array(choices[int(rng.integers(len(choices)))])
    red, green, blue = np.clip(chosen * rng.uniform(1 - spread, 1 + spread), 0.01, 0.98)
    return (float(red), float(green), float(blue))


def _free_colour(rng: np.random.Generator, low: float, high: float) -> Colour:
    red, green, blue = rng.uniform(low, high, 3)
    return (float(red), float(green), float(blue))


def _muted(colour: Colour) -> Colour:
    """Half way to the grey of the same mean."""
    red, green, blue = (0.5 * channel + sum(colour) / 6 for channel in colour)
    return (red, green, blue)


def _scaled(colour: Colour, factor: float) -> Colour:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def random_look(rng: np.random.Generator, sex: Literal["M", "W"], darkness: float) -> Look:
    """A look for a person of that sex; `darkness` (0..1) is how dark the skin is, with which hair and iris go."""
    man = sex == "M"
    hair_choices = HAIR_COLOURS if darkness < 0.55 else HAIR_COLOURS[:3] + HAIR_COLOURS[7:]
    hair_colour = _colour(rng, hair_choices, 0.2)
    styles = _MEN if man else _WOMEN
    beard = float(rng.choice([0.0, 0.0, 0.3, 0.45, 1.0])) * rng.uniform(0.8, 1.1) if man else 0.0
    background = _muted(_free_colour(rng, 0.15, 0.85))
    return Look(
        hair=styles[int(rng.integers(len(styles)))],
        hair_colour=hair_colour,
        hairline=float(rng.normal(0.03 if man else -0.03, 0.06)),
        hair_volume=float(rng.uniform(0.6, 1.4)),
        parting=float(rng.uniform(-0.6, 0.6)),
        brow_colour=_scaled(hair_colour, float(rng.uniform(0.5, 0.9))),
        brow_thickness=float(rng.normal(0.030 if man else 0.021, 0.005)),
        brow_strength=float(rng.uniform(0.7, 0.98)),
        beard=beard,
        moustache=float(beard * rng.uniform(0.6, 1.0) if beard else (0.9 if man and rng.random() < 0.1 else 0.0)),
        iris=_colour(rng, IRIS_COLOURS if darkness < 0.55 else IRIS_COLOURS[:2], 0.15),
        lipstick=float(0.0 if man else rng.choice([0.0, 0.25, 0.7])),
        lip_colour=_colour(rng, ((0.70, 0.20, 0.22), (0.62, 0.16, 0.24), (0.74, 0.34, 0.32), (0.45, 0.12, 0.16)), 0.1),
        lashes=float(rng.uniform(0.35, 0.6) if man else rng.uniform(0.7, 1.0)),
        freckles=float(max(0.0, rng.normal(-0.1, 0.35)) * (darkness < 0.5)),
        mole=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.6, 0.15))) if rng.random() < 0.25 else None,
        lines=float(np.clip(rng.normal(0.35, 0.3), 0, 1)),
        shine=float(rng.uniform(0.03, 0.10)),
        cloth=_free_colour(rng, 0.05, 0.75),
        neckline=float(rng.uniform(0.0, 0.12) if man else rng.uniform(0.0, 0.35)),
        background=(background, _scaled(background, float(rng.uniform(0.5, 0.85)))),
        ear_size=float(rng.normal(1.0, 0.10)),
        seed=int(rng.integers(2**31)),
    )
