import numpy as np
import pandas as pd
import pytest

from moco.analysis.statistics import (
    RESAMPLES,
    Interval,
    average,
    estimate,
    mean_interval,
    paired_difference,
    paired_interval,
)
from moco.errors import WorkError


def series(values, prefix="u"):
    return pd.Series(np.asarray(values, dtype=float), index=[f"{prefix}{number:04d}" for number in range(len(values))])


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0, 1 / 3, -2.3])
@pytest.mark.parametrize("n", [1, 3, 7, 100])
def test_equal_scores_have_an_interval_of_zero_width(value, n):
    assert mean_interval(series([value] * n), "task") == Interval(value, value, value, n)


def test_two_items_resample_to_the_binomial_distribution():
    found = estimate(series([0, 1]), "task")
    shares = [np.mean(found.replicates == value) for value in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert found.replicates.shape == (RESAMPLES,)
    assert found.interval() == Interval(0.5, 0.0, 1.0, 2)


def test_same_names_same_interval_other_names_other_interval():
    scores = series(np.linspace(0, 1, 37))
    assert mean_interval(scores, "a") == mean_interval(scores, "a")
    assert mean_interval(scores, "a") != mean_interval(scores, "b")


def test_order_of_rows_has_no_effect():
    scores = series(np.random.default_rng(0).random(50))
    other = series(np.random.default_rng(1).random(50))
    shuffled = scores.sample(frac=1, random_state=3)
    assert mean_interval(shuffled, "t") == mean_interval(scores, "t")
    assert paired_interval(shuffled, other, "t") == paired_interval(scores, other[::-1], "t")


def test_interval_covers_the_truth_in_95_of_100_samples():
    generator = np.random.default_rng(7)
    covered = 0
    for number in range(300):
        found = mean_interval(series(generator.random(120) < 0.6), f"sample {number}")
        covered += found.low <= 0.6 <= found.high
    # Three standard errors of a share of 0.95 in 300 trials are 0.038.
    assert 0.91 <= covered / 300 <= 0.985


def test_width_agrees_with_the_normal_approximation():
    scores = series(np.random.default_rng(5).random(400))
    found = mean_interval(scores, "t")
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * scores.std() / 20, rel=0.06)


def test_paired_difference_uses_common_items_and_removes_their_difficulty():
    easy = series([0.0, 1.0, 0.0, 1.0, 1.0])
    assert paired_interval(easy + 0.25, easy, "t") == Interval(0.25, 0.25, 0.25, 5)
    assert paired_difference(easy, easy.iloc[:2] - 1, "t").interval() == Interval(1.0, 1.0, 1.0, 2)


def test_paired_difference_equals_difference_of_jointly_resampled_means():
    first, second = series([1, 1, 0, 1, 0, 1]), series([0, 1, 0, 0, 1, 0])
    joint = estimate(first, "t").replicates - estimate(second, "t").replicates
    assert np.allclose(paired_difference(first, second, "t").replicates, joint)


def test_no_common_items_is_an_error():
    with pytest.raises(WorkError, match="no scores"):
        paired_interval(series([1.0], "a"), series([1.0], "b"), "t")


def test_average_weighs_equally_and_narrows_over_independent_tasks():
    scores = series(np.random.default_rng(2).random(100) < 0.5)
    tasks = [estimate(scores, f"task {number}", seeds=2) for number in range(16)]
    both = average(tasks)
    one, many = tasks[0].interval(), both.interval()
    assert both.mean == pytest.approx(scores.mean())
    assert (many.n, many.seeds) == (1600, 2)
    assert (many.high - many.low) / (one.high - one.low) == pytest.approx(1 / 4, rel=0.15)
    unequal = average([estimate(series([1.0]), "a"), estimate(series([0.0] * 3), "b")])
    assert unequal.interval() == Interval(0.5, 0.5, 0.5, 4)
