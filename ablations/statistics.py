"""What a table says of its numbers: mean and deviation over seeds, paired bootstrap over clips."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BOOTSTRAP_SAMPLES = 4000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1) over the seeds that have a value; NaN where none or too few have."""

    mean: float
    sd: float
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Summary of the finite values."""
    finite = [value for value in values if math.isfinite(value)]
    mean = math.fsum(finite) / len(finite) if finite else math.nan
    sd = float(np.std(finite, ddof=1)) if len(finite) > 1 else math.nan
    return Summary(mean, sd, len(finite))


@dataclass(frozen=True)
class Difference:
    """Mean difference of a variant to its reference over the clips both have, with a bootstrap interval."""

    mean: float
    low: float
    high: float
    clips: int


def paired_difference(
    variant: Sequence[Mapping[str, float]], reference: Sequence[Mapping[str, float]], seed: int = 0
) -> Difference | None:
    """Bootstrap over clips of variant - reference; each argument holds one {clip: value} for each seed.

    A clip's value is its mean over the seeds that have it. Resampling clips, not frames or seeds, answers whether
    the difference would hold on other clips (Efron and Tibshirani 1993, percentile interval). None without two clips.
    """
    ours, theirs = _over_seeds(variant), _over_seeds(reference)
    clips = sorted(ours.keys() & theirs.keys())
    if len(clips) < 2:
        return None
    differences = np.array([ours[clip] - theirs[clip] for clip in clips])
    low, high = bootstrap_interval(differences, seed)
    return Difference(float(differences.mean()), low, high, len(clips))


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean under resampling with replacement."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(len(values), size=(BOOTSTRAP_SAMPLES, len(values)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values[rows].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def reproduced(difference: Difference | None, paper: float) -> bool | None:
    """Whether the paper's sign is ours; None when ours is undecided (the interval holds 0) or the paper's is 0."""
    if difference is None or paper == 0 or difference.low <= 0 <= difference.high:
        return None
    return (difference.low > 0) == (paper > 0)


def _over_seeds(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    gathered: dict[str, list[float]] = {}
    for one in values:
        for clip, value in one.items():
            if math.isfinite(value):
                gathered.setdefault(clip, []).append(value)
    return {clip: math.fsum(found) / len(found) for clip, found in gathered.items()}
