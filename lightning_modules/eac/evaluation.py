"""EAC's own metrics of one clip, beside what trivial guesses would score, and their means."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef

from conventions.emotions import NUM_LEVELS
from datamodules.config import SpeechForm
from datamodules.moments import Moments
from datamodules.speech_features import MFCC, Mel
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.eac.losses import mouth_opening
from lightning_modules.eac.readout import Readout


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
