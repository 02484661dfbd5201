"""EAC's own metrics of one clip, beside what trivial guesses would score, and their means.

Parts of the face (how far a mouth is open, brows are raised and lids are apart) are read by the landmarks of the face
model; how far the mouth is open is also read off coefficients whose model is not at hand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef

from conventions.emotions import NUM_LEVELS
from datamodules.config import SpeechForm
from datamodules.moments import Moments
from datamodules.speech_features import MFCC, Mel
from face3d.coefficients import EXPRESSION
from face3d.keypoints import BROWS
from face3d.morphable import MorphableModel, keypoint_model
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.eac.losses import LOWER_INNER_LIP, MILLIMETRES, UPPER_INNER_LIP, mouth_opening

UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (40, 41, 46, 47)
"""Landmarks of both eyes' lids."""

EYE_CORNERS = (36, 45)
"""Outer corners of the eyes among the 68 iBUG landmarks."""

MAX_CLIPS = 24
RIDGE = 1.0
FOLLOWS = 0.5
"""Correlation with the images' lips, on the half of a clip's frames left out, below which a readout means nothing."""

Readout = Callable[[Float[Tensor, "t 64"]], Float[Tensor, " t"]]
"""Expression coefficients -> how far the mouth is open, in any unit."""


def measured_opening(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, " t"]:
    """Distance of the inner lips on images, as a share of the distance between the outer eye corners."""
    lips = (landmarks[:, LOWER_INNER_LIP] - landmarks[:, UPPER_INNER_LIP]).norm(dim=-1)
    return lips / (landmarks[:, EYE_CORNERS[0]] - landmarks[:, EYE_CORNERS[1]]).norm(dim=-1)


def fit_readout(expression: Float[Tensor, "n 64"], opening: Float[Tensor, " n"]) -> Float[Tensor, "64"]:
    """Ridge regression of openings on coefficients, both centred by the caller; weights of the coefficients."""
    expression, opening = expression.double(), opening.double()
    gram = expression.T @ expression + RIDGE * torch.eye(expression.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, expression.T @ opening).float()


def model_readout(basis: Float[Tensor, "e 20 3"]) -> Readout:
    """The face model's own lips, in mm."""
    return lambda expression: mouth_opening(expression, basis)


def part_readouts(model: MorphableModel) -> dict[str, Readout]:
    """Brow (mean height of both) and lids (mean distance of both eyes') of a face model, in mm beyond rest."""
    height = keypoint_model(model).expression_basis[..., 1] * MILLIMETRES
    upper, lower = height[:, list(UPPER_LIDS)].mean(1), height[:, list(LOWER_LIDS)].mean(1)
    axes = {"brow": height[:, BROWS].mean(1), "lids": upper - lower}
    return {name: partial(_along, axis=axis) for name, axis in axes.items()}


def _along(expression: Float[Tensor, "t 64"], axis: Float[Tensor, " e"]) -> Float[Tensor, " t"]:
    return expression[:, : len(axis)] @ axis.to(expression)


def data_readout(data: Any, clips: Iterable[Any], device: torch.device) -> Readout | None:
    """Fitted to landmarks of clips with coefficients, each clip centred.

    None where no clip has landmarks, or where the coefficients do not follow the images (those of others).
    """
    pairs = [_centred(data.clip_item(clip)) for clip in list(clips)[:MAX_CLIPS]]
    pairs = [pair for pair in pairs if len(pair[1]) > 3]
    if not pairs or not _left_out(pairs) >= FOLLOWS:  # also where it is NaN
        return None
    weights = _fit(pairs).to(device)
    return lambda expression: expression @ weights


Pair = tuple[Float[Tensor, "n 64"], Float[Tensor, " n"]]


def _centred(item: Any) -> Pair:
    """Coefficients and openings of the frames that have landmarks."""
    opening, expression = measured_opening(item.landmarks), item.coefficients[:, EXPRESSION]
    known = torch.isfinite(opening)
    expression, opening = expression[known], opening[known]
    return expression - expression.mean(0), opening - opening.mean()


def _fit(pairs: Sequence[Pair]) -> Float[Tensor, "64"]:
    return fit_readout(torch.cat([expression for expression, _ in pairs]), torch.cat([opening for _, opening in pairs]))


def _left_out(pairs: Sequence[Pair]) -> float:
    """Correlation of openings with those read out, fitted on the first half of every clip, on the second halves."""
    first = [(expression[: len(opening) // 2], opening[: len(opening) // 2]) for expression, opening in pairs]
    rest = [(expression[len(opening) // 2 :], opening[len(opening) // 2 :]) for expression, opening in pairs]
    read = torch.cat([expression for expression, _ in rest]) @ _fit(first)
    return torch.corrcoef(torch.stack([read, torch.cat([opening for _, opening in rest])]))[0, 1].item()


def normalised_error(
    predicted: Float[Tensor, "t 64"], true: Float[Tensor, "t 64"], deviation: Float[Tensor, "64"]
) -> float:
    """Root mean squared error in units of each coefficient's standard deviation; about 1 for the mean face."""
    return ((predicted - true) / deviation).square().mean().sqrt().item()


def correlation(first: Float[Tensor, " t"], second: Float[Tensor, " t"]) -> float:
    """Pearson's correlation; NaN when either is constant."""
    if first.std() < 1e-6 or second.std() < 1e-6:
        return float("nan")
    return pearson_corrcoef(first, second).item()


def expression_metrics(
    predicted: Float[Tensor, "t 64"],
    true: Float[Tensor, "t 64"],
    scale: Moments,
    parts: Mapping[str, Readout],
) -> dict[str, float]:
    """Errors of one clip's prediction, of the mean face and of each frame's forerunner, and how parts of the face
    (mouth, brow, lids) follow.
    """
    deviation, mean_face = scale.deviation, scale.mean.expand_as(true)
    result = {
        "coefficient_error": normalised_error(predicted, true, deviation),
        "coefficient_error_mean_face": normalised_error(mean_face, true, deviation),
        "coefficient_error_copy_previous": normalised_error(true[:-1], true[1:], deviation),
        "velocity_error": normalised_error(predicted.diff(dim=0), true.diff(dim=0), deviation),
    }
    return result | {f"{name}_correlation": correlation(read(predicted), read(true)) for name, read in parts.items()}


def slider_metrics(
    speak: Callable[[EmotionCode], Float[Tensor, "t 64"]],
    encoder: EmotionEncoder,
    emotion: str,
    level: int,
    true: Float[Tensor, "t 64"],
    deviation: Float[Tensor, "64"],
) -> dict[str, float]:
    """The level slider on a clip's speech (`speak`: code -> expression), from the words of the emotion's level 2.

    The error where it stands at the clip's own level, and how much of the face's mean distance from neutral at level 3
    is left at 0 (0: nothing is left, 1: the slider does nothing).
    """
    code, plain = (encoder.encode_text([style_prompt(name, at, 0)]) for name, at in ((emotion, 2), ("neutral", 1)))

    def face(at: float) -> Tensor:
        return speak(encoder.with_level(code, torch.full((1,), at, device=true.device)))

    neutral = speak(plain)
    left, full = ((face(at) - neutral).div(deviation).mean(0).norm() for at in (0.0, float(NUM_LEVELS)))
    error = normalised_error(face(float(level)), true, deviation)
    return {"slider/coefficient_error": error, "slider/left_at_zero": (left / full).item()}


def silent_speech(form: SpeechForm, num_frames: int, device: torch.device) -> Float[Tensor, "t *feature"] | None:
    """The speech feature of digital silence; None where it is not one of this project's own."""
    own = {feature.name: feature for feature in (MFCC, Mel)}
    if form.name not in own:
        return None
    return torch.from_numpy(own[form.name]()(np.zeros(0, np.float32), num_frames)).to(device)


def silence_metrics(
    spoken: Float[Tensor, "t 64"], silent: Float[Tensor, "t 64"], basis: Float[Tensor, "e 20 3"]
) -> dict[str, float]:
    """How far the mouth is open on average, in mm beyond rest, where it speaks and where it has nothing to say.

    Emotions open mouths too, so silence need not read 0; but it should read less than speech.
    """
    speech, silence = (mouth_opening(one, basis).mean().item() for one in (spoken, silent))
    return {"silence/speech_mm": speech, "silence/mouth_mm": silence}


def pose_metrics(predicted: Float[Tensor, "t 6"], true: Float[Tensor, "t 6"]) -> dict[str, float]:
    """Error of the head's angles about their mean in degrees, that of a still head, and how much the head moves
    (deviation of its angles as a share of the truth's).
    """
    made, real = (torch.rad2deg(x[:, :3] - x[:, :3].mean(0)) for x in (predicted, true))
    rms = {"error": made - real, "still": real, "moved": made}
    values = {name: x.square().mean().sqrt().item() for name, x in rms.items()}
    range_ = values["moved"] / max(values["still"], 1e-6)
    return {"pose/error_degrees": values["error"], "pose/still_error_degrees": values["still"], "pose/range": range_}


def mean_metrics(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each metric over the clips that have it; NaN only where it is undefined for all of them."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: torch.tensor([row[name] for row in rows if name in row]).nanmean().item() for name in names}
