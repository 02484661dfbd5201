"""What a table says of its numbers: mean and deviation over seeds, paired bootstrap over clips."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt32

BOOTSTRAP_SAMPLES = 4000
SAMPLE_BLOCKS = 40
"""Samples are averaged in so many parts, which bounds the memory."""
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


def paired_difference(variant: Mapping[str, float], reference: Mapping[str, float], seed: int = 0) -> Difference | None:
    """Bootstrap over clips of variant - reference; each argument holds every clip's mean over seeds.

    Resampling clips, not frames or seeds, answers whether the difference would hold on other clips (Efron and
    Tibshirani 1993, percentile interval). None without two clips that both have.
    """
    clips = sorted(variant.keys() & reference.keys())
    if len(clips) < 2:
        return None
    differences = np.array([variant[clip] - reference[clip] for clip in clips])
    low, high = bootstrap_interval(differences, seed)
    return Difference(float(differences.mean()), low, high, len(clips))


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean under resampling with replacement."""
    means = [values[block].mean(axis=1) for block in np.array_split(_resamples(len(values), seed), SAMPLE_BLOCKS)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


@functools.lru_cache(maxsize=1)
def _resamples(clips: int, seed: int) -> UInt32[np.ndarray, "samples n"]:
    """Which clips each bootstrap sample draws: the same for all comparisons of a table."""
    rows = np.random.default_rng(seed).integers(clips, size=(BOOTSTRAP_SAMPLES, clips))
    return rows.astype(np.uint32)


def reproduced(difference: Difference | None, paper: float) -> bool | None:
    """Whether the paper's sign is ours; None when ours is undecided (the interval holds 0) or the paper's is 0."""
    if difference is None or paper == 0 or difference.low <= 0 <= difference.high:
        return None
    return (difference.low > 0) == (paper > 0)


def over_seeds(
    metrics: Sequence[str], runs: Iterable[tuple[tuple[str, ...], Float[np.ndarray, "clips metrics"]]]
) -> dict[str, dict[str, float]]:
    """metric -> clip -> mean over the runs that have a finite value; `runs` gives each one's clips and values."""
    sums: dict[tuple[str, ...], Any] = {}
    for clips, values in runs:  # runs of one store score the same clips: one addition each
        known = np.isfinite(values)
        sums[clips] = sums.get(clips, 0) + np.stack([np.where(known, values, 0), known])
    by_clip: dict[str, Any] = {}
    for clips, found in sums.items():
        for clip, one in zip(clips, found.swapaxes(0, 1), strict=True):
            by_clip[clip] = by_clip.get(clip, 0) + one
    return {
        metric: {clip: float(total[i] / count[i]) for clip, (total, count) in by_clip.items() if count[i]}
        for i, metric in enumerate(metrics)
    }
