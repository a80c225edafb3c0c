import numpy as np
import pytest
from scipy import stats

from rewardtogo.statistics import Interval, curve_band, interquartile_mean, stratified_bootstrap


def ends_of(interval):
    assert interval.low is not None and interval.high is not None
    return interval.low, interval.high


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (3,), (4,), (7,), (10,), (20_003,), (5, 3), (2, 3, 8)]
)
def test_interquartile_mean_is_scipys_trimmed_mean(shape):
    values = np.random.default_rng(0).standard_cauchy(shape)
    expected = stats.trim_mean(values.ravel(), 0.25)
    assert np.isclose(interquartile_mean(values), expected, rtol=1e-12)
    for axis in range(-1, len(shape)):
        expected = stats.trim_mean(values, 0.25, axis=axis)
        assert np.allclose(interquartile_mean(values, axis=axis), expected, rtol=1e-12)


def test_interquartile_mean_over_two_axes_takes_them_as_one():
    values = np.random.default_rng(0).normal(size=(4, 5, 3))
    expected = [stats.trim_mean(values[:, i].ravel(), 0.25) for i in range(5)]
    assert np.allclose(interquartile_mean(values, axis=(0, -1)), expected, rtol=1e-12)


def trim_mean(values, axis):
    return stats.trim_mean(values, 0.25, axis=axis)


@pytest.mark.parametrize(
    ("statistic", "oracle"), [(np.mean, np.mean), (interquartile_mean, trim_mean)]
)
def test_interval_is_scipys_percentile_bootstrap(statistic, oracle):
    values = np.random.default_rng(1).gamma(2, size=25)
    ours = stratified_bootstrap(values, statistic, level=0.9, resamples=20_000, seed=0)
    theirs = stats.bootstrap(
        (values,),
        oracle,
        confidence_level=0.9,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(2),
    )
    assert np.isclose(ours.estimate, oracle(values, axis=0), rtol=1e-12)
    ends = theirs.confidence_interval
    # The Monte Carlo error of a 5 % quantile of 20,000 draws is below 1 % of the spread.
    assert np.allclose(ends_of(ours), [ends.low, ends.high], atol=0.02 * values.std())


def test_tasks_are_resampled_apart_from_each_other():
    """Two tasks with the same 40 figures: their mean varies by σ²/(2·40), not σ²/40."""
    figures = np.random.default_rng(0).normal(size=40)
    values = np.stack([figures, figures], axis=1)
    low, high = ends_of(stratified_bootstrap(values, np.mean, resamples=20_000, seed=0))
    assert np.isclose(high - low, 2 * 1.96 * figures.std() / np.sqrt(80), rtol=0.03)


@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(statistic):
    rng = np.random.default_rng(0)
    intervals = [
        stratified_bootstrap(rng.normal(size=40), statistic, resamples=400, seed=seed)
        for seed in range(400)
    ]
    covered = np.mean([low <= 0 <= high for low, high in map(ends_of, intervals)])
    assert 0.90 <= covered <= 0.97


def test_the_same_seed_gives_the_same_interval_and_another_another():
    values = np.random.default_rng(0).normal(size=10)
    first, again, other = (stratified_bootstrap(values, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_one_run_has_no_interval_and_says_so():
    for values in ([3.0], [[3.0, 3.0]]):
        interval = stratified_bootstrap(values, seed=0)
        assert interval == Interval(3.0, None, None, 0.95)
        assert repr(interval) == "Interval(3, one run, no interval)"
    assert repr(Interval(195.32, 1.5, 200.0, 0.95)) == "Interval(195.3 [1.5, 200], 95 % over runs)"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "no values"),
        ([1, np.nan], {}, r"finite, got nan at \(1,\)"),
        (np.ones((2, 2, 2)), {}, r"got shape \(2, 2, 2\)"),
        ([1, 2], {"level": 95.0}, "between 0 and 1, got 95.0"),
        ([1, 2], {"resamples": 0}, "at least 1, got 0"),
    ],
)
def test_bad_input_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        stratified_bootstrap(values, **options, seed=0)


def test_straight_curves_are_exact_between_their_own_steps():
    """Two runs on v = t and v = t + 2, recorded at different steps, one with gaps."""
    steps = [[0, 4, 8, 12], [6, 2, 10, 3, 7]]
    values = [[0, 4, 8, 12], [8, 4, 12, np.nan, None]]
    band = curve_band(steps, values, np.mean)
    assert np.array_equal(band.steps, [2, 4, 6, 8, 10])
    assert np.allclose(band.runs, [band.steps, band.steps + 2], rtol=1e-12)
    assert np.allclose(band.center, band.steps + 1, rtol=1e-12)
    # A quarter of the resamples takes either run twice, so the quantiles are the runs.
    assert band.low is not None and band.high is not None
    assert np.allclose(band.low, band.steps, rtol=1e-12)
    assert np.allclose(band.high, band.steps + 2, rtol=1e-12)


def test_the_band_at_a_step_is_the_interval_there():
    values = np.random.default_rng(0).normal(size=(9, 2))
    band = curve_band([[0, 1]] * 9, list(values), resamples=20_000)
    for i in range(2):
        interval = stratified_bootstrap(values[:, i], resamples=20_000, seed=1)
        assert band.center[i] == interval.estimate
        assert band.low is not None and band.high is not None
        assert np.allclose([band.low[i], band.high[i]], ends_of(interval), atol=0.03)


def test_many_steps_are_thinned_and_absent_runs_passed_over():
    band = curve_band([range(5000), [1, 2]], [range(5000), [np.nan, None]], points=11)
    assert band.low is None and band.high is None
    assert np.allclose(band.steps, np.linspace(0, 4999, 11))
    assert np.allclose(band.center, band.steps)
    assert repr(band) == "CurveBand(1 runs, 4999 at step 4999)"


def test_without_a_common_step_there_is_no_band():
    band = curve_band([[0, 1], [5, 6]], [[0, 1], [5, 6]])
    assert band.steps.size == band.center.size == 0
    assert "no common step" in repr(band)


def test_curves_that_do_not_pair_up_are_refused():
    with pytest.raises(ValueError, match=r"steps \(2,\) and values \(1,\)"):
        curve_band([[0, 1]], [[0]])
    with pytest.raises(ValueError, match="zip"):
        curve_band([[0, 1]], [])
    with pytest.raises(ValueError, match="no run with data"):
        curve_band([[0]], [[np.nan]])
