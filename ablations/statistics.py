"""What a table gives with its numbers: mean and deviation over seeds, and a hierarchical bootstrap of differences.

A difference is that of a variant to its reference in one metric: both trained with the same seeds, scored on the same
clips. Seeds, actors and clips are resampled with replacement, clips within their actor (Davison and Hinkley 1997,
section 3.8), so that the interval includes the variance of training, of actors and of utterances.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BOOTSTRAP_SAMPLES = 4000
SAMPLE_BLOCKS = 40
"""Samples are drawn in so many parts, which bounds the memory."""
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.96
LEAST_SEEDS = 3
"""Under so many seeds the variance of training is not known, and no direction is claimed."""

Clips = Mapping[str, float]
"""Values by clip."""
BySeed = Mapping[int, Clips]
"""A variant's values by seed and clip."""


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
    """A mean over seeds and clips with its bootstrap interval, and what it rests on."""

    mean: float
    low: float
    high: float
    clips: int
    actors: int = 0
    seeds: int = 0
    seed_variance: float = math.nan
    """Variance of the mean through the choice of seeds; NaN with one."""
    actor_variance: float = math.nan
    """Variance of the mean through the choice of actors and clips; NaN with one actor."""

    @property
    def width(self) -> float:
        """Width of the interval."""
        return self.high - self.low

    @property
    def leaves_zero(self) -> bool:
        """Whether the interval does not hold 0."""
        return not self.low <= 0 <= self.high


def paired_difference(
    variant: BySeed, reference: BySeed, actors: Mapping[str, str] | None = None, seed: int = 0
) -> Difference | None:
    """Hierarchical bootstrap of variant - reference over the seeds and clips that both have.

    `actors` gives each clip's actor; a clip without one counts as an actor of its own. `seed` is the bootstrap's. None
    without two clips that both have.
    """
    seeds = sorted(variant.keys() & reference.keys())
    differences = {
        s: {c: variant[s][c] - reference[s][c] for c in variant[s].keys() & reference[s].keys()} for s in seeds
    }
    return mean_of(differences, actors, seed)


def mean_of(values: BySeed, actors: Mapping[str, str] | None = None, seed: int = 0) -> Difference | None:
    """Hierarchical bootstrap of the mean over seeds and clips; None without two clips that have a value.

    The mean is that over clips of each clip's mean over seeds.
    """
    seeds = sorted(s for s in values if any(math.isfinite(v) for v in values[s].values()))
    clips = sorted({c for s in seeds for c, value in values[s].items() if math.isfinite(value)})
    if len(clips) < 2:
        return None
    table = np.array([[values[s].get(c, math.nan) for c in clips] for s in seeds])
    people = [(actors or {}).get(clip) or f"\0{clip}" for clip in clips]
    order = np.argsort(people, kind="stable")
    table, people = table[:, order], [people[i] for i in order]
    groups = np.unique(people, return_index=True)[1].tolist()
    means = np.concatenate([_means(table, *weights) for weights in _weights(len(seeds), groups, len(clips), seed)])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean = float(np.nanmean(np.nanmean(table, axis=0)))
    variances = _variance(np.nanmean(table, axis=1)), _variance(_group_means(table, groups))
    return Difference(mean, float(low), float(high), len(clips), len(groups), len(seeds), *variances)


def _weights(
    seeds: int, groups: list[int], clips: int, seed: int
) -> Iterator[tuple[Float[np.ndarray, "samples s"], Float[np.ndarray, "samples c"]]]:
    """How often each bootstrap sample draws each seed and each clip; `groups` are the actors' first clips."""
    random = np.random.default_rng(seed)
    bounds = [*groups, clips]
    for _ in range(SAMPLE_BLOCKS):
        count = BOOTSTRAP_SAMPLES // SAMPLE_BLOCKS
        drawn_seeds = random.multinomial(seeds, [1 / seeds] * seeds, size=count)
        drawn_actors = random.multinomial(len(groups), [1 / len(groups)] * len(groups), size=count)
        drawn_clips = np.empty((count, clips))
        for index, (first, last) in enumerate(itertools.pairwise(bounds)):
            size = last - first
            drawn_clips[:, first:last] = random.multinomial(drawn_actors[:, index] * size, [1 / size] * size)
        yield drawn_seeds.astype(float), drawn_clips


def _means(
    table: Float[np.ndarray, "s c"], seeds: Float[np.ndarray, "samples s"], clips: Float[np.ndarray, "samples c"]
) -> Float[np.ndarray, " n"]:
    """Weighted means over the cells that have a value."""
    known = np.isfinite(table)
    sums = seeds @ np.where(known, table, 0.0)
    counts = seeds @ known
    by_clip = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    weights = clips * (counts > 0)
    total = weights.sum(axis=1)
    means = (weights * by_clip).sum(axis=1)
    return means[total > 0] / total[total > 0]


def _group_means(table: Float[np.ndarray, "s c"], groups: list[int]) -> Float[np.ndarray, " actors"]:
    by_clip = np.nanmean(table, axis=0)
    return np.array([part.mean() for part in np.split(by_clip, groups[1:])])


def _variance(means: Float[np.ndarray, " n"]) -> float:
    """Variance of the mean of some means."""
    return float(np.var(means, ddof=1) / len(means)) if len(means) > 1 else math.nan


def reproduced(difference: Difference | None, paper: float) -> bool | None:
    """Whether the paper's sign is ours; None when ours is undecided or the paper's is 0."""
    if paper == 0 or difference is None or not decided(difference):
        return None
    return (difference.low > 0) == (paper > 0)


def decided(difference: Difference) -> bool:
    """Whether a direction may be claimed: enough seeds, and an interval that does not hold 0."""
    return difference.seeds >= LEAST_SEEDS and difference.leaves_zero


def needed(difference: Difference) -> str:
    """How many seeds or actors the observed variance would need for an interval that does not hold 0, in words."""
    if difference.seeds < LEAST_SEEDS:
        return f"{LEAST_SEEDS} seeds at least"
    wanted = (difference.mean / NORMAL_QUANTILE) ** 2
    seeds = _enough(difference.seeds, difference.seed_variance, difference.actor_variance, wanted)
    actors = _enough(difference.actors, difference.actor_variance, difference.seed_variance, wanted)
    ways = [f"about {count} {name}" for count, name in ((seeds, "seeds"), (actors, "actors")) if count is not None]
    return " or ".join(ways) or "more seeds and more actors together"


def _enough(now: int, own: float, other: float, wanted: float) -> int | None:
    """Units needed for `own` / n + `other` to fall to `wanted`; None where more of them alone do not do."""
    own, other = (0.0 if math.isnan(value) else value for value in (own, other))
    if wanted <= other or own == 0:
        return None
    return max(now + 1, math.ceil(now * own / (wanted - other)))
