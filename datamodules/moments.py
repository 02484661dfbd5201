"""Means and deviations of a store's audio and expression: what EAC's network standardises by."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.store import Store, StoredClip
from face3d.coefficients import EXPRESSION


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a quantity."""

    mean: Float[Tensor, " d"]
    deviation: Float[Tensor, " d"]


@dataclass(frozen=True)
class Statistics:
    """Moments of the speech feature (all dimensions but its last count as samples) and of the 64 expressions.

    `true_expression` is of the exact coefficients where the store has them.
    """

    sound: Moments
    expression: Moments
    true_expression: Moments


def store_statistics(
    store: Store, clips: Sequence[StoredClip], speech: str = "mfcc", coefficients: str = "measured"
) -> Statistics:
    """Over all frames of clips; every style (emotion and level) weighs alike, and every clip within it, as in training.

    Computed in float64 in the order of the clips: equal on every rank and in every run on the same store.
    """
    rows = store.speech(speech)
    sound = _moments(clips, [rows[clip.rows].reshape(-1, rows.shape[-1]) for clip in clips])
    given, true = (
        _moments(clips, [vectors[clip.rows, EXPRESSION] for clip in clips])
        for vectors in (store.coefficients_of(coefficients), store.exact)
    )
    return Statistics(sound, given, true)


def _moments(clips: Sequence[StoredClip], rows: Sequence[np.ndarray]) -> Moments:
    styles: dict[Hashable, list[np.ndarray]] = defaultdict(list)
    for clip, values in zip(clips, rows, strict=True):
        values = np.asarray(values, np.float64)
        styles[clip.emotion, clip.level].append(np.stack([values.mean(0), np.square(values).mean(0)]))
    mean, square = np.mean([np.mean(group, axis=0) for group in styles.values()], axis=0)
    deviation = np.sqrt(np.clip(square - np.square(mean), 0, None))
    return Moments(torch.from_numpy(mean).float(), torch.from_numpy(deviation).float())
