import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablations.statistics import (
    BOOTSTRAP_SAMPLES,
    Difference,
    bootstrap_interval,
    over_seeds,
    paired_difference,
    reproduced,
    summarise,
)

FINITE = st.floats(-100, 100)


@given(st.lists(FINITE, min_size=2, max_size=6))
def test_summary_agrees_with_numpy(values: list[float]) -> None:
    found = summarise(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.sd == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert summarise([*values, math.nan]) == found


def test_summary_of_little_says_so() -> None:
    assert summarise([]).n == 0
    assert math.isnan(summarise([]).mean)
    assert math.isnan(summarise([1.0]).sd)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2, size=60)
    low, high = bootstrap_interval(values)
    reference = stats.bootstrap((values,), np.mean, method="percentile", random_state=0).confidence_interval
    assert (low, high) == pytest.approx(reference, abs=0.03)


def test_pairing_takes_the_clips_own_level_out() -> None:
    random = np.random.default_rng(0)
    level = random.normal(0, 10, 40)
    reference = {str(i): float(level[i]) for i in range(40)}
    variant = {str(i): float(level[i] + 0.5 + random.normal(0, 0.2)) for i in range(40)}
    found = paired_difference(variant, reference)
    assert found is not None
    assert 0.35 < found.low < 0.5 < found.high < 0.65, "although the clips differ by 10"


def test_seeds_are_averaged_within_a_clip_and_missing_clips_left_out() -> None:
    two = [(("a", "b"), np.array([[1.0], [3.0]])), (("c", "a"), np.array([[9.0], [3.0]]))]
    one = [(("a", "b", "c"), np.array([[0.0], [math.nan], [1.0]]))]
    ours, theirs = over_seeds(["EFD"], two)["EFD"], over_seeds(["EFD"], one)["EFD"]
    assert (ours, theirs) == ({"a": 2.0, "b": 3.0, "c": 9.0}, {"a": 0.0, "c": 1.0})
    found = paired_difference(ours, theirs)
    assert found is not None
    assert found.clips == 2
    assert found.mean == pytest.approx((2 + 8) / 2)
    assert paired_difference({"a": 1.0}, {"a": 0.0}) is None
    assert over_seeds(["EFD", "LMD"], []) == {"EFD": {}, "LMD": {}}


def test_the_interval_is_that_of_all_samples_at_once() -> None:
    values = np.random.default_rng(2).normal(size=37)
    rows = np.random.default_rng(5).integers(37, size=(BOOTSTRAP_SAMPLES, 37))
    expected = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
    assert bootstrap_interval(values, 5) == pytest.approx(expected, abs=1e-12)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(120):
        low, high = bootstrap_interval(random.normal(0.3, 1, 50), trial)
        covered += low <= 0.3 <= high
    assert 0.87 <= covered / 120 <= 0.99


@pytest.mark.parametrize(
    ("low", "high", "paper", "expected"),
    [(0.1, 0.3, 0.02, True), (-0.3, -0.1, 0.02, False), (-0.1, 0.3, 0.02, None), (0.1, 0.3, 0.0, None)],
)
def test_a_direction_is_claimed_only_when_the_interval_leaves_zero(
    low: float, high: float, paper: float, expected: bool | None
) -> None:
    assert reproduced(Difference((low + high) / 2, low, high, 9), paper) is expected
    assert reproduced(None, paper) is None
