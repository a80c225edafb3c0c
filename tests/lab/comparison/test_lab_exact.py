"""The lab's exact means against sums over all pairs of trajectories, and what they say."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.enumerated import HORIZON, enumerated, moments
from rewardtogo.lab.comparison.estimators import ESTIMATORS
from rewardtogo.lab.comparison.exact_means import mean
from rewardtogo.lab.comparison.run import named
from rewardtogo.tabular.exact.evaluation import finite_horizon_values
from rewardtogo.tabular.exact.occupancy import state_distributions


SUMS = [estimator for estimator in ESTIMATORS if estimator.mass is not None]
UNBIASED = (
    "full-return",
    "causal",
    "constant",
    "by-time",
    "optimal-constant",
    "optimal-by-time",
    "optimal-by-parameter",
    "value",
    "learned-value",
    "leave-one-out",
    "optimal-leave-one-out",
    "exact-q",
    "exact-advantage",
    "td",
    "gae",
    "trajectory-ratio",
    "per-decision-ratio",
)
BIASED = (
    "causal-no-power",
    "batch-mean",
    "optimal-same-batch",
    "td-learned",
    "n-step-learned",
    "gae-learned",
    "lambda-return",
    "step-ratio",
    "vtrace",
    "vtrace-learned",
    "no-ratio",
    "clipped-ratio",
    "no-ratio-value",
    "self-normalised-ratio",
    "clipped-advantage",
    "clipped-gae",
)
# What can differ at γ = 1, where stationary values need not exist.
UNDISCOUNTED = (
    "full-return",
    "n-step-learned",
    "gae-learned",
    "optimal-constant",
    "step-ratio",
    "vtrace-learned",
)


def enumerated_mean(name, discount=0.9):
    return moments(discount, *named([name]))[0]


def close(ours, expected):
    return np.allclose(ours, expected, rtol=1e-10, atol=1e-12)


def by_recursion(estimator, discount):
    """The lab's mass and mean."""
    with jax.enable_x64(True):
        context = jax.tree.map(jnp.asarray, enumerated(discount).context)

        def both(context):
            mass = estimator.mass(context)
            return mass, mean(mass, context)

        return jax.tree.map(np.asarray, jax.jit(both)(context))


@pytest.mark.parametrize("estimator", SUMS, ids=lambda estimator: estimator.name)
def test_the_exact_mean_is_that_over_all_pairs_of_trajectories(estimator):
    """And so is what it is summed from: much of a mass cancels in the mean."""
    (mass, mean), expected = by_recursion(estimator, 0.9), moments(0.9, estimator)
    assert close(mass, expected[2])
    assert close(mean, expected[0])


@pytest.mark.parametrize("name", UNDISCOUNTED)
def test_so_it_is_undiscounted(name):
    (estimator,) = named([name])
    (mass, mean), expected = by_recursion(estimator, 1.0), moments(1.0, estimator)
    assert close(mass, expected[2])
    assert close(mean, expected[0])


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(name):
    assert close(enumerated_mean(name), enumerated(0.9).gradient)


@pytest.mark.parametrize("name", BIASED)
def test_biased(name):
    gap = np.linalg.norm(enumerated_mean(name) - enumerated(0.9).gradient)
    assert gap > 1e-3 * np.linalg.norm(enumerated(0.9).gradient)


def test_every_estimator_has_a_verdict():
    # The control's bias is that of `step-ratio`.
    assert {*UNBIASED, *BIASED, "step-ratio-advantage"} == {e.name for e in ESTIMATORS}


def test_without_the_power_the_target_weighs_every_visit_alike(x64):
    problem = enumerated(0.9)
    policy, pull_back = jax.vjp(jax.nn.softmax, jnp.asarray(problem.theta))
    _, q = finite_horizon_values(problem.mdp, policy, horizon=HORIZON)
    visits = state_distributions(problem.mdp, policy, horizon=HORIZON)
    target = pull_back(jnp.einsum("ts,tsa->sa", visits, q))[0].ravel()
    assert close(enumerated_mean("causal-no-power"), target)
    assert close(enumerated_mean("causal-no-power", 1.0), enumerated(1.0).gradient)


def test_the_batch_mean_shrinks_the_gradient():
    """G3: (1 - 1/N)∇J, N = 2; times N/(N-1) it is leave-one-out, variance and all."""
    assert close(enumerated_mean("batch-mean"), enumerated(0.9).gradient / 2)
    own, others = (moments(0.9, e)[1] for e in named(["batch-mean", "leave-one-out"]))
    assert np.isclose(4 * own, others, rtol=1e-10)


def test_one_ratio_a_step_gives_the_gradient_of_the_surrogate(x64):
    """G4: ∇L with L = E_β Σ_t γ^t Σ_a π(a|s_t) A^β_t(s_t, a), baseline or none."""
    problem = enumerated(0.9)
    beta = jnp.asarray(problem.setting.behaviour)
    v, q = finite_horizon_values(problem.mdp, beta, horizon=HORIZON)
    visits = state_distributions(problem.mdp, beta, horizon=HORIZON)
    weight = 0.9 ** np.arange(HORIZON)[:, None] * visits

    def surrogate(theta):
        gain = jnp.einsum("sa,tsa->ts", jax.nn.softmax(theta), q - v[..., None])
        return jnp.sum(weight * gain)

    target = jax.grad(surrogate)(jnp.asarray(problem.theta)).ravel()
    assert close(enumerated_mean("step-ratio"), target)
    assert close(enumerated_mean("step-ratio-advantage"), target)


def test_without_a_ratio_a_baseline_is_not_free():
    gap = enumerated_mean("no-ratio") - enumerated_mean("no-ratio-value")
    assert np.linalg.norm(gap) > 1e-2


def scores_and_estimates(problem):
    """γ^t g_t of every trajectory, `[time, trajectory, parameter]`, and X = Σ_t γ^t g_t G_t."""
    powers = 0.9 ** np.arange(HORIZON)[:, None]
    to_go = np.cumsum((powers * problem.paths.reward)[::-1], axis=0)[::-1] / powers
    scores = powers[..., None] * problem.score
    return scores, np.einsum("tnp,tn->np", scores, to_go), np.asarray(problem.target)


def test_optimal_baselines_are_those_of_the_definition():
    """G3: E⟨X,g⟩/E‖g‖², E⟨g_t,X⟩/E‖g_t‖² and E[g_j X_j]/E[g_j²], over all trajectories."""
    problem = enumerated(0.9)
    scores, x, chance = scores_and_estimates(problem)
    inner = lambda g: chance @ np.sum(g * x, axis=-1)
    square = lambda g: chance @ np.sum(g**2, axis=-1)
    total = scores.sum(axis=0)
    assert np.isclose(problem.context.optimal_constant, inner(total) / square(total), rtol=1e-10)
    by_step = [inner(g) / square(g) for g in scores]
    assert close(problem.context.optimal_by_step, by_step)
    product, square = chance @ (total * x), chance @ total**2
    by_parameter = np.divide(product, square, out=np.zeros_like(square), where=square > 0)
    assert (square == 0).any()  # 0/0: nothing is done in the terminal state
    assert close(problem.context.optimal_by_parameter, by_parameter)


def test_no_baseline_of_its_family_has_less_variance():
    """A constant, a number a step, a number a parameter: each a little more or less is worse."""
    problem, context = enumerated(0.9), enumerated(0.9).context
    scores, x, chance = scores_and_estimates(problem)
    total = scores.sum(axis=0)

    def variance(subtracted):
        estimate = x - subtracted
        mean = chance @ estimate
        return chance @ np.sum((estimate - mean) ** 2, axis=1)

    families = {
        "constant": (np.ravel(context.optimal_constant), lambda b: b * total),
        "step": (context.optimal_by_step, lambda b: np.einsum("t,tnp->np", b, scores)),
        "parameter": (context.optimal_by_parameter, lambda b: b * total),
    }
    least = {name: variance(of(np.asarray(b))) for name, (b, of) in families.items()}
    for name, (b, of) in families.items():
        for i, sign in itertools.product(range(len(b)), (-1e-3, 1e-3)):
            moved = np.array(b)
            moved[i] += sign
            without_score = name == "parameter" and not total[:, i].any()
            assert variance(of(moved)) >= least[name] + (0 if without_score else 1e-9)
    assert least["step"] < least["constant"] and least["parameter"] < least["constant"]


def test_the_second_moment_of_the_ratio_is_exact():
    problem = enumerated(0.9)
    target, behaviour = np.asarray(problem.target), np.asarray(problem.behaviour)
    expected = np.sum(target**2 / behaviour)
    assert np.isclose(problem.context.second_moment, expected, rtol=1e-12)


def test_the_learned_values_are_a_time_blind_fit_and_its_error():
    """Σ_t γ^t E[G_t; s_t = s] / Σ_t γ^t P(s_t = s) over all trajectories; 0 at every end."""
    problem = enumerated(0.9)
    paths, learned = problem.paths, np.asarray(problem.context.target.learned)
    powers = 0.9 ** np.arange(HORIZON)[:, None]
    to_go = np.cumsum((powers * paths.reward)[::-1], axis=0)[::-1]
    chance = np.asarray(problem.target) * paths.mask
    total = np.bincount(paths.state.ravel(), (chance * to_go).ravel())
    weight = np.bincount(paths.state.ravel(), (chance * powers).ravel())
    fit = np.append(total[:2] / weight[:2], 0)
    spread = np.std(fit) * np.asarray(problem.setting.value_error)
    expected = np.append((fit + spread)[:2], 0)
    assert close(learned[:-1], np.tile(expected, (HORIZON, 1)))
    assert close(learned[-1], 0)
