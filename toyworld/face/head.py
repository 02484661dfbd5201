"""The procedural head: a morphable face made by formulas alone, with BFM09's interface (80 / 64 / 80, 68 keypoints)."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from jaxtyping import Float

from face3d.morphable import PROCEDURAL, MorphableModel, as_tensor
from toyworld.face.expression import movements
from toyworld.face.identity import identity_basis
from toyworld.face.parts import head_mesh
from toyworld.face.texture import mean_texture, texture_basis

EXPRESSION_NAMES: tuple[str, ...] = (
    "jaw_open", "jaw_left", "jaw_right", "jaw_forward", "lip_corner_puller_left", "lip_corner_puller_right",
    "lip_corner_depressor_left", "lip_corner_depressor_right", "lip_stretcher_left", "lip_stretcher_right",
    "lip_pucker", "lip_funneler", "lip_pressor", "lip_tightener", "lips_part", "lip_suck", "upper_lip_raiser_left",
    "upper_lip_raiser_right", "lower_lip_depressor_left", "lower_lip_depressor_right", "chin_raiser",
    "dimpler_left", "dimpler_right", "cheek_raiser_left", "cheek_raiser_right", "cheek_puff", "nose_wrinkler",
    "nostril_dilator", "inner_brow_raiser_left", "inner_brow_raiser_right", "outer_brow_raiser_left",
    "outer_brow_raiser_right", "brow_lowerer_left", "brow_lowerer_right", "upper_lid_raiser_left",
    "upper_lid_raiser_right", "lid_tightener_left", "lid_tightener_right", "eye_closure_left", "eye_closure_right",
    "gaze_left", "gaze_right", "gaze_up", "gaze_down", "tongue_up", "tongue_out", "lip_corner_sharp_left",
    "lip_corner_sharp_right", "lower_lip_out", "upper_lip_out", "mouth_left", "mouth_right", "residual_0",
    "residual_1", "residual_2", "residual_3", "residual_4", "residual_5", "residual_6", "residual_7", "residual_8",
    "residual_9", "residual_10", "residual_11",
)  # fmt: skip
"""Movement of each expression axis; a coefficient of 1.0 is its full natural strength. Left is the person's left."""


def expression_vector(action_units: Mapping[str, float]) -> Float[np.ndarray, "64"]:
    """Expression coefficients of named movements; KeyError for a name that is not in `EXPRESSION_NAMES`."""
    vector = np.zeros(len(EXPRESSION_NAMES), dtype=np.float32)
    for name, strength in action_units.items():
        if name not in _AXES:
            raise KeyError(name)
        vector[_AXES[name]] = strength
    return vector


_AXES = {name: axis for axis, name in enumerate(EXPRESSION_NAMES)}


@cache
def procedural_head() -> MorphableModel:
    """The model `procedural-v1`: about 3,000 vertices in decimetres, placed like the recentred BFM09."""
    mesh = head_mesh()
    named = movements(mesh)
    return MorphableModel(
        name=PROCEDURAL,
        mean_shape=as_tensor(mesh.points),
        identity_basis=as_tensor(identity_basis(mesh)),
        expression_basis=as_tensor(np.stack([named[name] for name in EXPRESSION_NAMES])),
        mean_texture=as_tensor(mean_texture(mesh)),
        texture_basis=as_tensor(texture_basis(mesh)),
        triangles=torch.from_numpy(mesh.triangles),
        keypoints=torch.from_numpy(mesh.keypoints),
        expression_names=EXPRESSION_NAMES,
    )
