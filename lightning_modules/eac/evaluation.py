"""EAC's own metrics on test clips, beside what trivial guesses would score."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from conventions.emotions import NUM_LEVELS
from conventions.errors import UserError
from face3d.coefficients import EXPRESSION, IDENTITY
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.eac.readout import Readout, data_readout, model_readout

if TYPE_CHECKING:
    from lightning_modules.eac.module import EACModule


def normalised_error(
    predicted: Float[Tensor, "t 64"], true: Float[Tensor, "t 64"], deviation: Float[Tensor, "64"]
) -> float:
    """Root mean squared error in units of each coefficient's standard deviation; about 1 for the mean face."""
    return ((predicted - true) / deviation).square().mean().sqrt().item()


def correlation(first: Float[Tensor, " t"], second: Float[Tensor, " t"]) -> float:
    """Pearson's correlation; NaN when either is constant."""
    if first.std() < 1e-6 or second.std() < 1e-6:
        return float("nan")
    return torch.corrcoef(torch.stack([first, second]))[0, 1].item()


def _clip_metrics(module: "EACModule", item: Any, text: str, mouth: Readout | None) -> dict[str, float]:
    device = module.device
    coefficients, mfcc = item.coefficients.to(device), item.mfcc.to(device)
    true = coefficients[:, EXPRESSION]
    code = module.encoder.encode_text([text])
    predicted = module.predict_speech(mfcc, code, coefficients[:1, IDENTITY])
    statistics = module.network.expression_statistics
    mean_face = statistics.mean.expand_as(true)
    result = {
        "coefficient_error": normalised_error(predicted, true, statistics.deviation),
        "coefficient_error_mean_face": normalised_error(mean_face, true, statistics.deviation),
        "coefficient_error_copy_previous": normalised_error(true[:-1], true[1:], statistics.deviation),
        "velocity_error": normalised_error(predicted.diff(dim=0), true.diff(dim=0), statistics.deviation),
    }
    if mouth is not None:
        result["mouth_correlation"] = correlation(mouth(predicted), mouth(true))
    return result


def _slider_metrics(module: "EACModule", item: Any, emotion: str, level: int) -> dict[str, float]:
    """The level slider on a clip's speech, from the words of the emotion's level 2.

    The error where it stands at the clip's own level, and how much of the face's mean distance from neutral at level 3
    is left at 0 (0: nothing is left, 1: the slider does nothing).
    """
    device, deviation = module.device, module.network.expression_statistics.deviation
    mfcc, identity = item.mfcc.to(device), item.coefficients[:1, IDENTITY].to(device)
    encoder = module.encoder
    code, plain = (encoder.encode_text([style_prompt(name, at, 0)]) for name, at in ((emotion, 2), ("neutral", 1)))

    def face(at: float) -> Tensor:
        return module.predict_speech(mfcc, encoder.with_level(code, torch.full((1,), at, device=device)), identity)

    neutral = module.predict_speech(mfcc, plain, identity)
    left, full = ((face(at) - neutral).div(deviation).mean(0).norm() for at in (0.0, float(NUM_LEVELS)))
    error = normalised_error(face(float(level)), item.coefficients[:, EXPRESSION].to(device), deviation)
    return {"slider/coefficient_error": error, "slider/left_at_zero": (left / full).item()}


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    table = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    return {name: values.nanmean().item() for name, values in table.items()}


def _score(
    module: "EACModule", data: Any, clips: Iterable[Any], mouth: Readout | None
) -> tuple[list[dict[str, float]], int]:
    """Metrics of each clip whose style the encoder can express, and the count of the others."""
    rows, refused = [], 0
    for clip in clips:
        emotion = clip.emotion or "neutral"
        try:
            text = style_prompt(emotion, clip.level or 1, 0)
            rows.append(_clip_metrics(module, data.clip_item(clip), text, mouth))
        except UserError:
            refused += 1
    return rows, refused


def _mouth(module: "EACModule", data: Any) -> Readout | None:
    if module.basis is not None:
        return model_readout(module.basis)
    return data_readout(data, data.train_clips("train"), module.device)


@torch.no_grad()
def evaluate_expression(module: "EACModule", data: Any) -> dict[str, float]:
    """Means over the basic test clips, those of the level slider, and under `unseen/` the unseen styles' with the share
    refused."""
    mouth = _mouth(module, data)
    basic = data.test_clips("basic")
    rows, _ = _score(module, data, basic, mouth)
    result = _mean(rows)
    emotional = [clip for clip in basic if clip.emotion not in (None, "neutral")]
    if emotional:
        result |= _mean([_slider_metrics(module, data.clip_item(clip), clip.emotion, clip.level) for clip in emotional])
    unseen, refused = _score(module, data, data.test_clips("unseen"), mouth)
    if unseen or refused:
        result["unseen/refused"] = refused / (len(unseen) + refused)
    if unseen:
        result |= {f"unseen/{name}": value for name, value in _mean(unseen).items()}
    return result
