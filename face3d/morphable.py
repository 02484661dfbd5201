"""The contract of a linear morphable face, the registry of its members, and the readers of BFM09 and ICT-FaceKit."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import scipy.io
import torch
from jaxtyping import Float, Int64
from scipy.io.matlab import MatReadError
from torch import Tensor

from conventions.errors import UserError
from conventions.registry import Registry
from face3d import ict

PROCEDURAL = "procedural-v1"
"""The toy world's head, which needs no file."""

FACE_MODELS = Registry(
    "face model",
    "face_models",
    {
        PROCEDURAL: "toyworld.face.head:procedural_head",
        "bfm09": "face3d.morphable:load_bfm09",
        "ict": "face3d.morphable:load_ict",
    },
)
"""Name -> a function that makes the `MorphableModel`: of the path of the user's file, or of nothing (`PROCEDURAL`)."""


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A face linear in identity, expression and texture coefficients.

    Lengths are in decimetres, x to the image's right, y up, z towards the viewer; the face's middle lies near the
    origin as in the recentred BFM09. Albedo is RGB in 0..1. Triangles run counter-clockwise seen from outside.
    """

    name: str
    mean_shape: Float[Tensor, "v 3"]
    identity_basis: Float[Tensor, "num_identity v 3"]
    expression_basis: Float[Tensor, "num_expression v 3"]
    mean_texture: Float[Tensor, "v 3"]
    texture_basis: Float[Tensor, "num_texture v 3"]
    triangles: Int64[Tensor, "t 3"]
    keypoints: Int64[Tensor, "68"]
    """Vertices of the 68 iBUG landmarks, in their usual order."""
    expression_names: tuple[str, ...] = ()
    """Name of each expression axis where the axes are named movements (1.0 is full strength); else empty."""
    keypoint_deviation: float = 0.04
    """How far (decimetres) a detector's landmark may lie from its vertex, alike in all frames of a person."""
    path: str | None = None
    """The user's file that `load_model` read it from."""

    def shape(self, identity: Float[Tensor, "*b i"], expression: Float[Tensor, "*b e"]) -> Float[Tensor, "*b v 3"]:
        """Vertices in model space. Coefficients beyond the basis, and basis axes beyond the coefficients, count 0."""
        offset = _combine(identity, self.identity_basis) + _combine(expression, self.expression_basis)
        return self.mean_shape + offset

    def texture(self, coefficients: Float[Tensor, "*b n"]) -> Float[Tensor, "*b v 3"]:
        """Albedo of each vertex, RGB, nominally in 0..1 (not clipped)."""
        return self.mean_texture + _combine(coefficients, self.texture_basis)

    def to(self, device: torch.device | str) -> "MorphableModel":
        """The same model with its tensors on `device`."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in tensors.items() if isinstance(v, Tensor)})


def keypoint_model(model: MorphableModel) -> MorphableModel:
    """The model reduced to its 68 landmarks (no triangles): the same coefficients, a fraction of the work."""
    at = model.keypoints
    return replace(
        model,
        mean_shape=model.mean_shape[at],
        identity_basis=model.identity_basis[:, at],
        expression_basis=model.expression_basis[:, at],
        mean_texture=model.mean_texture[at],
        texture_basis=model.texture_basis[:, at],
        triangles=model.triangles[:0],
        keypoints=torch.arange(len(at), device=at.device),
    )


def _combine(coefficients: Tensor, basis: Tensor) -> Tensor:
    used = min(coefficients.shape[-1], basis.shape[0])
    flat = coefficients[..., :used] @ basis[:used].flatten(1).to(coefficients.dtype)
    return flat.unflatten(-1, basis.shape[1:])


def load_model(name: str, path: Path | str | None = None) -> MorphableModel:
    """Load a morphable face model.

    Args:
        name: a name of `FACE_MODELS`: `procedural-v1`, `bfm09`, `ict` or a model of your own.
        path: your copy of the model's file; `procedural-v1` needs none.

    Returns:
        The model, on the CPU.

    Raises:
        UserError: the name is unknown, or the file is missing or cannot be read.

    Examples:
        >>> load_model("procedural-v1").keypoints.shape
        torch.Size([68])
    """
    make = FACE_MODELS.load(name)
    if name == PROCEDURAL:
        return make()
    if path is None:
        raise UserError(f"face model {name!r} is not part of emospace: give the path of your own copy")
    return replace(make(Path(path)), path=str(path))


def load_ict(path: Path | str) -> MorphableModel:
    """ICT-FaceKit (100 identity, 57 ARKit-named expression axes) from an npz or the official folder of objs.

    Its landmarks are where MediaPipe, whose landmarks it is fitted to, has them.
    """
    arrays = ict.read(Path(path))
    shape = torch.from_numpy
    return MorphableModel(
        name="ict",
        mean_shape=shape(arrays.vertices),
        identity_basis=shape(arrays.identity),
        expression_basis=shape(arrays.expression),
        mean_texture=shape(ict.albedo()),
        texture_basis=torch.zeros(80, ict.NUM_VERTICES, 3),
        triangles=shape(arrays.triangles),
        keypoints=torch.tensor(ict.DETECTED),
        expression_names=arrays.expression_names,
        keypoint_deviation=ict.DETECTED_DEVIATION,
    )


_BFM09_FIELDS = ("meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints")


def load_bfm09(path: Path | str) -> MorphableModel:
    """BFM09 with expressions from Deep3DFaceRecon's `BFM_model_front.mat` (indices from 1, decimetres, texture 0..255).

    The bases already carry their standard deviations; the mean shape is recentred, as published.
    """
    fields_of_file = _read_bfm09(Path(path))
    mean = fields_of_file["meanshape"].reshape(-1, 3)
    return MorphableModel(
        name="bfm09",
        mean_shape=as_tensor(mean - mean.mean(0, keepdims=True)),
        identity_basis=_basis(fields_of_file["idBase"], len(mean)),
        expression_basis=_basis(fields_of_file["exBase"], len(mean)),
        mean_texture=as_tensor(fields_of_file["meantex"].reshape(-1, 3) / 255),
        texture_basis=_basis(fields_of_file["texBase"] / 255, len(mean)),
        triangles=torch.from_numpy(fields_of_file["tri"].astype(np.int64) - 1),
        keypoints=torch.from_numpy(fields_of_file["keypoints"].astype(np.int64).ravel() - 1),
    )


def _read_bfm09(path: Path) -> dict[str, np.ndarray]:
    try:
        content = scipy.io.loadmat(path, variable_names=_BFM09_FIELDS)
    except (OSError, ValueError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path}: not a readable BFM_model_front.mat ({error})") from error
    missing = [name for name in _BFM09_FIELDS if name not in content]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; expected BFM_model_front.mat of Deep3DFaceRecon")
    return {name: content[name] for name in _BFM09_FIELDS}


def as_tensor(array: np.ndarray) -> Tensor:
    """A contiguous float32 copy, or the array itself where it is one."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _basis(columns: np.ndarray, vertices: int) -> Tensor:
    return as_tensor(columns.T.reshape(-1, vertices, 3))
