import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm

from moco.analysis.statistics import (
    RESAMPLES,
    Interval,
    average,
    estimate,
    paired_difference,
)
from moco.errors import WorkError


def mean_interval(*arguments):
    return estimate(*arguments).interval()


def paired_interval(*arguments):
    return paired_difference(*arguments).interval()


def series(values, prefix="u"):
    return pd.Series(np.asarray(values, dtype=float), index=[f"{prefix}{number:04d}" for number in range(len(values))])


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, -2.3])
@pytest.mark.parametrize("n", [1, 3, 7, 100])
def test_equal_scores_have_an_interval_of_zero_width(value, n):
    assert mean_interval(series([value] * n), "task") == Interval(value, value, value, n)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("n", [1, 5, 60, 400])
def test_scores_that_are_all_0_or_all_1_have_the_interval_of_wilson(value, n):
    found = mean_interval(series([value] * n), "task")
    right = binomtest(value * n, n).proportion_ci(0.95, method="wilson")
    assert (found.mean, found.n) == (value, n)
    assert (found.low, found.high) == pytest.approx((right.low, right.high), abs=1e-12)


def test_one_other_score_is_resampled():
    found = mean_interval(series([1] * 59 + [0]), "task")
    assert (found.low, found.high) == (pytest.approx(0.95, abs=0.006), 1.0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_scores_that_are_no_accuracies_have_no_interval_of_wilson(value):
    assert estimate(series([value] * 9), "task", accuracy=False).interval() == Interval(value, value, value, 9)
    same = paired_difference(series([3.5] * 9), series([3.5 - value] * 9), "task", accuracy=False)
    assert same.interval() == Interval(value, value, value, 9)


def tango(difference, n, only, other):
    """Return the score statistic of a difference, with the likelihood maximised numerically under it."""

    def surprise(share):
        counts = ((only, share + difference), (other, share), (n - only - other, 1 - 2 * share - difference))
        return -sum(count * np.log(max(chance, 1e-300)) for count, chance in counts if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    share = minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    variance = (2 * share + difference - difference**2) / n
    return ((only - other) / n - difference) / np.sqrt(variance)


@pytest.mark.parametrize("n", [5, 60, 400])
@pytest.mark.parametrize("gain", [-1, 0, 1])
def test_pairs_that_all_differ_equally_have_the_interval_of_tango(gain, n):
    first, second = {-1: (0, 1), 0: (1, 1), 1: (1, 0)}[gain]
    found = paired_interval(series([first] * n), series([second] * n), "task")
    counts = (n * (gain == 1), n * (gain == -1))
    z = norm.ppf(0.975)
    below = -1.0 if gain == -1 else brentq(lambda d: tango(d, n, *counts) - z, -0.999, gain - 1e-6)
    above = 1.0 if gain == 1 else brentq(lambda d: tango(d, n, *counts) + z, gain + 1e-6, 0.999)
    assert found.mean == gain
    assert (found.low, found.high) == pytest.approx((below, above), abs=1e-5)


def test_equal_scores_of_two_systems_are_a_difference_of_zero_with_some_width():
    scores = series(np.random.default_rng(4).random(60) < 0.5)
    found = paired_interval(scores, scores.copy(), "t")
    assert (found.mean, found.low, found.high) == (0.0, -found.high, pytest.approx(0.0602, abs=1e-4))


@pytest.mark.parametrize("tasks", [2, 8, 16])
def test_an_average_of_perfect_tasks_contains_its_mean_and_has_a_width(tasks):
    found = average([estimate(series([1] * 60), f"task {number}") for number in range(tasks)]).interval()
    one = mean_interval(series([1] * 60), "task 0")
    assert found.mean == found.high == 1.0
    assert one.low < found.low < 1.0


def test_a_perfect_task_adds_to_the_width_of_an_average():
    scores = series(np.random.default_rng(9).random(60) < 0.5)
    perfect, other = estimate(series([1] * 30), "perfect"), estimate(scores, "other")
    found, alone = average([perfect, other]).interval(), other.interval()
    # Alone, the other task would give half of its width.
    assert found.high - found.low > (alone.high - alone.low) / 2
    assert found.mean == pytest.approx((1 + scores.mean()) / 2)


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
    assert paired_difference(easy, easy.iloc[:2] - 0.75, "t").interval() == Interval(0.75, 0.75, 0.75, 2)


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
    unequal = average([estimate(series([0.9]), "a"), estimate(series([0.1] * 3), "b")])
    assert unequal.interval() == Interval(0.5, 0.5, 0.5, 4)
