import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablations.statistics import Difference, mean_of, needed, paired_difference, reproduced, summarise

FINITE = st.floats(-100, 100)


def drawn(
    random: np.random.Generator, seeds: int, actors: int, clips: int, spread: tuple[float, float, float], mean: float
) -> tuple[dict[int, dict[str, float]], dict[str, str]]:
    """Values of seeds and clips with a deviation of each kind about `mean`, and each clip's actor."""
    by_seed, by_actor = random.normal(0, spread[0], seeds), random.normal(0, spread[1], actors)
    people = {f"{actor}/{clip}": str(actor) for actor in range(actors) for clip in range(clips)}
    own = {clip: random.normal(0, spread[2]) for clip in people}
    return {
        s: {clip: mean + by_seed[s] + by_actor[int(actor)] + own[clip] for clip, actor in people.items()}
        for s in range(seeds)
    }, people


@given(st.lists(FINITE, min_size=2, max_size=6))
def test_summary_agrees_with_numpy(values: list[float]) -> None:
    found = summarise(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.sd == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert summarise([*values, math.nan]) == found


def test_summary_of_little_is_nan() -> None:
    assert summarise([]).n == 0
    assert math.isnan(summarise([]).mean)
    assert math.isnan(summarise([1.0]).sd)


def test_without_actors_and_with_one_seed_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).gamma(2, size=60)
    found = mean_of({0: {str(i): float(v) for i, v in enumerate(values)}})
    assert found is not None
    reference = stats.bootstrap((values,), np.mean, method="percentile", random_state=0).confidence_interval
    assert (found.low, found.high) == pytest.approx(reference, abs=0.03)
    assert found.mean == pytest.approx(values.mean())
    assert (found.seeds, found.actors, found.clips) == (1, 60, 60)


def test_pairing_takes_the_clips_and_the_seeds_own_level_out() -> None:
    random = np.random.default_rng(0)
    reference, actors = drawn(random, 3, 5, 8, (10, 10, 10), 0.0)
    variant = {s: {c: v + 0.5 + random.normal(0, 0.1) for c, v in clips.items()} for s, clips in reference.items()}
    found = paired_difference(variant, reference, actors)
    assert found is not None
    assert 0.4 < found.low < 0.5 < found.high < 0.6, "although seeds, actors and clips differ by 10"
    assert (found.seeds, found.actors, found.clips) == (3, 5, 40)


def test_the_variance_of_seeds_and_of_actors_enters() -> None:
    random = np.random.default_rng(1)
    narrow, actors = drawn(random, 5, 8, 10, (0, 0, 1), 1.0)
    by_seed, _ = drawn(random, 5, 8, 10, (1, 0, 0), 1.0)
    by_actor, _ = drawn(random, 5, 8, 10, (0, 1, 0), 1.0)
    widths = []
    for values in (narrow, by_seed, by_actor):
        found = mean_of(values, actors)
        assert found is not None
        widths.append(found.width)
    assert widths[0] < 0.5 * min(widths[1:])
    alone = mean_of(by_actor)
    assert alone is not None
    assert alone.width < 0.5 * widths[2], "clips of one actor taken for independent ones"


@pytest.mark.parametrize("spread", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.5)])
def test_the_interval_covers_the_truth_about_as_often_as_it_states(spread: tuple[float, float, float]) -> None:
    random = np.random.default_rng(2)
    covered = 0
    for trial in range(60):
        found = mean_of(*drawn(random, 10, 12, 4, spread, 0.3), trial)
        assert found is not None
        covered += found.low <= 0.3 <= found.high
    assert covered / 60 >= 0.8


def test_only_what_both_have_is_compared_and_the_result_is_the_same_again() -> None:
    ours = {0: {"a": 1.0, "b": 3.0, "c": math.nan}, 1: {"a": 3.0, "b": 3.0}, 7: {"a": 100.0}}
    theirs = {0: {"a": 0.0, "b": 1.0, "c": 1.0}, 1: {"a": 0.0, "b": math.nan}}
    found = paired_difference(ours, theirs)
    assert found is not None
    assert (found.seeds, found.clips) == (2, 2)
    assert found.mean == pytest.approx(((1 + 3) / 2 + 2) / 2)
    assert paired_difference(ours, theirs) == found
    assert paired_difference({0: {"a": 1.0}}, {0: {"a": 0.0}}) is None
    assert paired_difference({}, {}) is None


@pytest.mark.parametrize(
    ("low", "high", "paper", "expected"),
    [(0.1, 0.3, 0.02, True), (-0.3, -0.1, 0.02, False), (-0.1, 0.3, 0.02, None), (0.1, 0.3, 0.0, None)],
)
def test_a_direction_is_claimed_only_when_the_interval_leaves_zero(
    low: float, high: float, paper: float, expected: bool | None
) -> None:
    difference = Difference((low + high) / 2, low, high, 9, 3, 3)
    assert reproduced(difference, paper) is expected
    assert reproduced(None, paper) is None


def test_under_three_seeds_every_direction_is_undecided() -> None:
    assert reproduced(Difference(0.2, 0.1, 0.3, 9, 3, 2), 0.02) is None
    assert needed(Difference(0.2, 0.1, 0.3, 9, 3, 2)) == "3 seeds at least"


def test_the_seeds_that_are_needed_are_about_those_that_do() -> None:
    observed = Difference(0.5, -0.5, 1.5, 80, 20, 3, seed_variance=1 / 3, actor_variance=0.001)
    assert needed(observed) == "about 16 seeds"
    random = np.random.default_rng(5)
    decided = {}
    for count in (5, 32):
        found = [mean_of(*drawn(random, count, 20, 4, (1.0, 0.05, 0.05), 0.5), trial) for trial in range(20)]
        decided[count] = sum(one is not None and one.leaves_zero for one in found)
    assert decided[32] >= 12 > decided[5]
    hopeless = Difference(0.01, -1.0, 1.0, 40, 4, 3, 1.0, 1.0)
    assert needed(hopeless) == "more seeds and more actors together"
