"""The procedural head's expression axes as movements of ICT-FaceKit, whose axes bear ARKit's names.

Weights were found by least squares between the two heads' 68 landmarks, axis by axis, and then rounded: a smile pulls
the corners of both mouths equally far. The twelve residual axes of the procedural head have no counterpart.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from face3d.procedural import EXPRESSION_NAMES

_BOTH: Mapping[str, Mapping[str, float]] = {
    "jaw_open": {"jawOpen": 0.86},
    "jaw_left": {"jawLeft": 1.1},
    "jaw_right": {"jawRight": 1.1},
    "jaw_forward": {"jawForward": 0.95},
    "lip_pucker": {"mouthPucker": 0.93},
    "lip_funneler": {"mouthFunnel": 0.9},
    "lip_pressor": {"mouthPress": 0.3, "mouthRollUpper": 0.25, "mouthRollLower": 0.3, "mouthClose": 0.02},
    "lip_tightener": {"mouthPress": 0.2, "mouthRollUpper": 0.2, "mouthRollLower": 0.25, "mouthPucker": 0.14},
    "lips_part": {"mouthLowerDown": 0.6, "mouthUpperUp": 0.26},
    "lip_suck": {"mouthRollLower": 0.75, "mouthRollUpper": 0.5},
    "chin_raiser": {"mouthShrugLower": 0.6, "mouthShrugUpper": 0.6},
    "cheek_puff": {"cheekPuff": 0.5},
    "nose_wrinkler": {"noseSneer": 0.55, "browDown": 0.2},
    "nostril_dilator": {"noseSneer": 0.12},
    "lower_lip_out": {"mouthShrugLower": 0.35, "mouthFunnel": 0.3},
    "upper_lip_out": {"mouthShrugUpper": 0.3, "mouthFunnel": 0.25},
    "mouth_left": {"mouthLeft": 0.45},
    "mouth_right": {"mouthRight": 0.45},
    "gaze_left": {"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0},
    "gaze_right": {"eyeLookIn_L": 1.0, "eyeLookOut_R": 1.0},
    "gaze_up": {"eyeLookUp": 0.8},
    "gaze_down": {"eyeLookDown": 0.8},
    "tongue_up": {},
    "tongue_out": {},
}
"""Axes without sides; a name that ICT-FaceKit has twice (`_L`, `_R`) moves both. Its tongue has no movement."""

_SIDED: Mapping[str, Mapping[str, float]] = {
    "lip_corner_puller": {"mouthSmile": 0.9, "cheekSquint": 0.3},
    "lip_corner_depressor": {"mouthFrown": 1.6},
    "lip_stretcher": {"mouthStretch": 1.2},
    "upper_lip_raiser": {"mouthUpperUp": 0.8},
    "lower_lip_depressor": {"mouthLowerDown": 1.2},
    "dimpler": {"mouthDimple": 0.8},
    "cheek_raiser": {"cheekSquint": 0.8, "eyeSquint": 0.6},
    "inner_brow_raiser": {"browInnerUp": 1.4},
    "outer_brow_raiser": {"browOuterUp": 0.85},
    "brow_lowerer": {"browDown": 1.2},
    "upper_lid_raiser": {"eyeWide": 0.9},
    "lid_tightener": {"eyeSquint": 0.85},
    "eye_closure": {"eyeBlink": 1.06},
    "lip_corner_sharp": {"mouthDimple": 0.25, "mouthSmile": 0.2},
}
"""Axes that end in `_left` and `_right`: both here and there the person's own."""

_REST: Mapping[str, float] = {"mouthClose": 0.02}
"""ICT-FaceKit's neutral lips stand 0.8 mm apart; the toy world's people rest with a shut mouth."""


def _weights(name: str) -> Mapping[str, float]:
    stem, _, side = name.rpartition("_")
    if stem in _SIDED:
        return {f"{target}_{side[0].upper()}": weight for target, weight in _SIDED[stem].items()}
    return _BOTH.get(name, {})


def movement_map(names: tuple[str, ...]) -> Float32[np.ndarray, "64 num_names"]:
    """Weights that turn the procedural head's 64 expression coefficients into those of the axes called `names`."""
    table = np.zeros((len(EXPRESSION_NAMES), len(names)), np.float32)
    for row, axis in enumerate(EXPRESSION_NAMES):
        for target, weight in _weights(axis).items():
            columns = [target] if target in names else [f"{target}_L", f"{target}_R"]
            table[row, [names.index(column) for column in columns]] += weight
    return table


def rest(names: tuple[str, ...]) -> Float32[np.ndarray, " num_names"]:
    """Expression coefficients of a face at rest."""
    return np.array([_REST.get(name, 0.0) for name in names], np.float32)
