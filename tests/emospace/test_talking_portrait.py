"""A portrait of one's own: landmarks found in it, and any face model fitted to them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from emospace.portrait import read_picture, read_portrait

from conventions.errors import UserError
from conventions.published import LANDMARKER
from datamodules.landmarks import find_faces
from face3d.camera import project
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TRANSLATION
from face3d.landmarker import Landmarker
from face3d.morphable import load_model


def test_a_model_of_ones_own_is_fitted_to_a_picture_without_a_mat(real_data: Path, real_weights: Path) -> None:
    path = real_data / "portraits" / "astronaut.png"
    model = load_model("ict", real_data / "ict_facekit" / "ict_facekit.npz")
    source = read_portrait(path, model, 256, real_weights)
    shape = model.shape(source.coefficients[None, IDENTITY], source.coefficients[None, EXPRESSION])
    place = source.placement[None]
    row = source.coefficients[None]
    points = project(shape[:, model.keypoints], row[:, ANGLE], row[:, TRANSLATION], place)[0][0]
    with Landmarker(real_weights / LANDMARKER.name) as landmarker:
        faces = find_faces(landmarker, np.uint8((source.image.permute(1, 2, 0).numpy() + 1) * 127.5))
    assert faces is not None
    seen = torch.from_numpy(faces.landmarks) / 128 - 1
    between_eyes = (seen[36] - seen[45]).norm()
    assert (points[17:] - seen[17:]).norm(dim=-1).mean() < 0.06 * between_eyes


def test_a_picture_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("this is no picture")
    with pytest.raises(UserError, match=r"no\.png: cannot be read as a picture"):
        read_picture(tmp_path / "no.png")
