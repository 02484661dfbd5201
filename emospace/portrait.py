"""A portrait as the pipeline needs it: cropped, with the coefficients of the face in it."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps

from conventions.errors import UserError
from conventions.published import LANDMARKER
from datamodules.coefficients import fit, read_mat
from datamodules.crop import align, camera_windows, cut, fixed_crop, placement, to_crop
from datamodules.landmarks import find_faces
from datamodules.mead import Reference
from face3d.landmarker import Landmarker
from face3d.morphable import MorphableModel


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image file, upright, as RGB."""
    if not path.is_file():
        raise UserError(f"{path}: no such picture")
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as a picture ({str(error).splitlines()[0]})") from error


def as_tensor(picture: UInt8[np.ndarray, "h w 3"]) -> torch.Tensor:
    """RGB bytes as [3, h, w] in [-1, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1).float() / 127.5 - 1


def read_portrait(path: Path, model: MorphableModel, size: int, weights: Path | None = None) -> Reference:
    """The face of a picture, cropped to `size` pixels, with coefficients of the face model.

    A `.mat` of the same name beside the picture (`coeff`, `transform_params`) is used where it is of that model;
    otherwise MediaPipe's landmarks are found and the model is fitted to them. UserError when there is no face, or more
    than one of like size.
    """
    picture = read_picture(path)
    sidecar = path.with_suffix(".mat")
    if sidecar.is_file():
        return _from_mat(picture, path, sidecar, model, size)
    return _from_landmarks(picture, path, model, size, weights)


def _from_mat(picture: np.ndarray, path: Path, sidecar: Path, model: MorphableModel, size: int) -> Reference:
    measured = read_mat(sidecar)
    if measured.model != model.name:
        line = f"holds coefficients of {measured.model}, these weights were trained on {model.name}"
        raise UserError(f"{sidecar}: {line}")
    height, width = picture.shape[:2]
    windows = camera_windows(measured.params[:1], width, height)
    return _reference(picture, path, windows, measured.coefficients[0], size)


def _from_landmarks(
    picture: np.ndarray, path: Path, model: MorphableModel, size: int, weights: Path | None
) -> Reference:
    with Landmarker(LANDMARKER.find(weights)) as landmarker:
        faces = find_faces(landmarker, picture)
    if faces is None:
        raise UserError(f"{path}: no face found; give a picture that shows one face from the front")
    if faces.rival:
        raise UserError(f"{path}: shows more than one face of like size; crop it to one")
    height, width = picture.shape[:2]
    windows = camera_windows(align(faces.landmarks[None], width, height), width, height)
    crop = fixed_crop(windows)
    coefficients = fit(to_crop(faces.landmarks[None], crop), placement(windows, crop), model)
    return _reference(picture, path, windows, coefficients[0], size)


def _reference(picture: np.ndarray, path: Path, windows: np.ndarray, coefficients: np.ndarray, size: int) -> Reference:
    crop = fixed_crop(windows)
    return Reference(
        image=as_tensor(cut(picture, crop, size).copy()),
        coefficients=torch.from_numpy(np.asarray(coefficients, np.float32)),
        placement=torch.from_numpy(placement(windows, crop)[0]),
        clip=path.stem,
        index=0,
    )
