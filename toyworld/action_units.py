"""FACS action units as coefficients of the head's expression axes (Ekman, Friesen & Hager 2002, FACS manual).

A key is a unit's number, with `L` or `R` for one side: "12" both lip corners, "12R" the right one alone.
Units 51-58 and 61-64 are movements of head and eyes; the head's are turned into angles by `head.py`.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from toyworld.face.head import EXPRESSION_NAMES

UNITS: Mapping[str, Mapping[str, float]] = {
    "1": {"inner_brow_raiser": 1.0},
    "2": {"outer_brow_raiser": 1.0},
    "4": {"brow_lowerer": 1.0},
    "5": {"upper_lid_raiser": 1.0},
    "6": {"cheek_raiser": 1.0},
    "7": {"lid_tightener": 1.0},
    "9": {"nose_wrinkler": 1.0, "nostril_dilator": 0.3},
    "10": {"upper_lip_raiser": 1.0},
    "11": {"upper_lip_raiser": 0.4, "lip_corner_sharp": 0.4},
    "12": {"lip_corner_puller": 1.0},
    "14": {"dimpler": 1.0, "lip_corner_sharp": 0.3},
    "15": {"lip_corner_depressor": 1.0},
    "16": {"lower_lip_depressor": 1.0},
    "17": {"chin_raiser": 1.0, "lower_lip_out": 0.25},
    "18": {"lip_pucker": 1.0},
    "20": {"lip_stretcher": 1.0},
    "23": {"lip_tightener": 1.0},
    "24": {"lip_pressor": 1.0},
    "25": {"lips_part": 1.0},
    "26": {"jaw_open": 0.5},
    "27": {"jaw_open": 1.0},
    "43": {"eye_closure": 1.0},
    "61": {"gaze_left": 1.0},
    "62": {"gaze_right": 1.0},
    "63": {"gaze_up": 1.0},
    "64": {"gaze_down": 1.0},
}
HEAD_UNITS = ("51", "52", "53", "54", "55", "56", "57", "58")

UPPER_UNITS = frozenset({"1", "2", "4", "5", "6", "7", "9", "43", "61", "62", "63", "64"})
"""The upper face and the eyes, which move apart from the mouth in time."""


def axes(name: str) -> list[int]:
    """Indices of an expression axis, or of its left and right halves."""
    names = [name] if name in EXPRESSION_NAMES else [f"{name}_left", f"{name}_right"]
    return [EXPRESSION_NAMES.index(each) for each in names]


def unit_vector(unit: str) -> Float64[np.ndarray, "64"]:
    """A unit at full strength as expression coefficients; units of the head give zeros."""
    vector = np.zeros(len(EXPRESSION_NAMES))
    number = unit.rstrip("LR")
    if number in HEAD_UNITS:
        return vector
    side = {"L": ("_left",), "R": ("_right",)}.get(unit[len(number) :], ("", "_left", "_right"))
    for name, weight in UNITS[number].items():
        for index in axes(name):
            if EXPRESSION_NAMES[index].endswith(side):
                vector[index] += weight
    return vector


def units_vector(units: Mapping[str, float], upper: bool | None = None) -> Float64[np.ndarray, "64"]:
    """The sum of units by strength; with `upper`, of the upper or of the lower face alone."""
    chosen = {u: s for u, s in units.items() if upper is None or (u.rstrip("LR") in UPPER_UNITS) == upper}
    return sum((strength * unit_vector(unit) for unit, strength in chosen.items()), np.zeros(len(EXPRESSION_NAMES)))
