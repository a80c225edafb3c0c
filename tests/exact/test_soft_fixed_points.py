"""Both kin of SAC stand still at the exact soft solution, and the discrete one walks there."""

import dataclasses

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from rewardtogo._scan import filter_scan
from rewardtogo.algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from rewardtogo.algorithms.sac import SAC, ActorTwinCritic
from rewardtogo.algorithms.sac_v import SACV, ActorTwinCriticValue
from rewardtogo.losses import soft
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.distributions import TanhGaussian
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.solvers.soft import soft_policy_iteration
from rewardtogo.types import Transition


DISCOUNT, TEMPERATURE, KEY = 0.8, 0.7, jr.key(3)
LIVE, ACTIONS, OUTCOMES = 4, 3, 4


@pytest.fixture(scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def gradients(trainable):
    """Adam's first moment after one step is (1 − 0.9) times the gradient."""
    return [m / 0.1 for m in jax.tree.leaves(optax.tree.get(trainable.opt_state, "mu"))]


def with_table(net, table):
    """A network without hidden layers on one-hot states, made to answer by a table."""
    (layer,) = net.layers
    bias = jnp.zeros_like(layer.bias)
    return eqx.tree_at(
        lambda n: (n.layers[0].weight, n.layers[0].bias), net, (jnp.asarray(table), bias)
    )


class Discrete:
    """Each of four equally likely outcomes of each state and action, once: a batch that is the
    expectation. One state in five is terminal; every other row says that it was cut there.
    """

    def __init__(self):
        rng = np.random.default_rng(5)
        after = rng.integers(0, LIVE + 1, (LIVE, ACTIONS, OUTCOMES))
        transition = np.zeros((LIVE + 1, ACTIONS, LIVE + 1))
        np.add.at(transition, (*np.indices(after.shape)[:2], after), 1 / OUTCOMES)
        transition[LIVE, :, LIVE] = 1
        reward = rng.normal(size=(LIVE + 1, ACTIONS))
        start, terminal = np.ones(LIVE + 1) / (LIVE + 1), np.arange(LIVE + 1) == LIVE
        mdp = tabular_mdp(transition, reward, start, discount=DISCOUNT, terminal=terminal)
        self.optimum = soft_policy_iteration(mdp, temperature=TEMPERATURE, tolerance=1e-11)
        self.q = np.asarray(self.optimum.action_values)[:LIVE]
        state, action, _ = (jnp.asarray(x.ravel(), jnp.int32) for x in np.indices(after.shape))
        after = jnp.asarray(after.ravel(), jnp.int32)
        cut = jnp.arange(after.size) % 2 == 0
        paid = jnp.asarray(mdp.reward)[state, action]
        self.batch = Transition(state, action, paid, after, after == LIVE, cut)
        nets = Architecture(
            gym.spaces.Discrete(LIVE + 1), gym.spaces.Discrete(ACTIONS), (), "tanh", jnp.float64
        )
        head = nets.action_values(jr.key(1))
        actor = CategoricalPolicy(head.encoder, head.values)
        self.start = CategoricalTwinCritic(actor, nets.twin_action_values(jr.key(2)))

    def models(self, q, logits):
        """A critic that says `q` of the live states, anything of the terminal one."""
        pad = lambda table: np.concatenate([table, np.full((1, ACTIONS), 50.0)])
        twins = tuple(with_table(net, pad(q)) for net in self.start.critic.values)
        actor = dataclasses.replace(
            self.start.actor, logits=with_table(self.start.actor.logits, pad(logits))
        )
        return CategoricalTwinCritic(actor, dataclasses.replace(self.start.critic, values=twins))


@pytest.fixture(scope="module")
def discrete(x64):
    return Discrete()


FIXED = DiscreteSAC(
    discount=DISCOUNT,
    initial_temperature=TEMPERATURE,
    learn_temperature=False,
    learning_rate=0.01,
    polyak_rate=0.05,
)


def test_mean_targets_of_the_soft_optimum_are_its_values(discrete):
    """T8: Q*(s,a) = r + γ E[V*(s')], V* = Σ π* (Q* − τ log π*) = τ log Σ exp(Q*/τ)."""
    state = FIXED.init(discrete.models(discrete.q, discrete.q / TEMPERATURE))
    target = FIXED.targets(state, discrete.batch, jnp.array(TEMPERATURE))
    assert not np.allclose(target.reshape(LIVE, ACTIONS, OUTCOMES).std(axis=-1), 0)
    mean = target.reshape(LIVE, ACTIONS, OUTCOMES).mean(axis=-1)
    assert np.allclose(mean, discrete.q, rtol=0, atol=1e-10)


def test_an_update_at_the_soft_optimum_has_no_gradient(discrete):
    """Neither for the critics nor for the actor; away from it there is one."""
    q, gibbs = discrete.q, discrete.q / TEMPERATURE
    update = jax.jit(lambda state: FIXED.update(state, discrete.batch, key=KEY)[0])
    after = update(FIXED.init(discrete.models(q, gibbs)))
    for gradient in (*gradients(after.critic), *gradients(after.actor)):
        assert np.allclose(gradient, 0, atol=1e-10)
    # A policy at another temperature, or values of another: each shows.
    assert np.abs(gradients(update(FIXED.init(discrete.models(q, q))).actor)[0]).max() > 1e-3
    other = update(FIXED.init(discrete.models(q + 1, gibbs)))
    assert np.abs(gradients(other.critic)[0]).max() > 1e-3


def test_the_actor_loses_by_its_divergence_from_the_gibbs_policy(discrete):
    """Loss − least loss = τ KL(π ‖ softmax(Q/τ)), for any π: softmax(Q/τ) is its minimiser."""
    policy = jax.nn.log_softmax(2 * jr.normal(jr.key(5), (LIVE, ACTIONS)))
    gibbs = jax.nn.log_softmax(discrete.q / TEMPERATURE)
    loss, least = (
        soft.expected(p, soft.actor_loss(p, jnp.asarray(discrete.q), TEMPERATURE))
        for p in (policy, gibbs)
    )
    divergence = (jnp.exp(policy) * (policy - gibbs)).sum(axis=-1)
    assert divergence.min() > 0.01
    assert np.allclose(loss - least, TEMPERATURE * divergence, rtol=1e-10)


def test_updates_on_all_there_is_end_at_the_soft_optimum(discrete):
    """From random tables: Q to Q*, π to its softmax, as far as a constant step size goes."""
    step = lambda state, _: (FIXED.update(state, discrete.batch, key=KEY)[0], None)
    state, _ = filter_scan(step, FIXED.init(discrete.start), jnp.arange(4000))
    live = jnp.arange(LIVE)
    assert np.allclose(state.critic.model(live), discrete.q, rtol=0, atol=1e-3)
    policy = jax.nn.softmax(state.actor.model(live, ())[0].logits)
    assert np.allclose(policy, discrete.optimum.policy[:LIVE], rtol=0, atol=1e-3)


# Three states in a row, the last of which ends or goes back; what is paid rises with the action.
STATES, SLOPE, BASE = 3, 1.5, np.array([0.4, -1.0, 2.0])
MEANS, LOG_STDS = np.array([0.3, -0.8, 0.1]), np.array([-0.7, 0.2, -1.5])
DRAWS = 20_000


def moments():
    """Mean and deviation of c·a − τ log π(a|s), by quadrature over the normal draw."""
    node, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    inner = MEANS[:, None] + np.exp(LOG_STDS)[:, None] * node
    normal = -(node**2) / 2 - LOG_STDS[:, None] - np.log(2 * np.pi) / 2
    of_each = SLOPE * np.tanh(inner) - TEMPERATURE * (normal + 2 * np.log(np.cosh(inner)))
    mean = of_each @ weight
    return mean, np.sqrt((of_each - mean[:, None]) ** 2 @ weight)


class Continuous:
    """V by a linear solve; then Q(s, a) = r(s) + c·a + γ V(s'), linear in a, exactly."""

    def __init__(self, *, ends):
        self.after = np.array([1, 2, 0])
        self.ended = np.array([False, False, ends])
        goes_on = np.where(self.ended, 0, DISCOUNT)
        bonus, self.deviation = moments()
        step = np.eye(STATES)[self.after] * goes_on[:, None]
        self.v = np.linalg.solve(np.eye(STATES) - step, BASE + bonus)
        self.q = BASE + step @ self.v  # at a = 0
        spaces = gym.spaces.Discrete(STATES), gym.spaces.Box(-1, 1, (1,))
        nets = Architecture(*spaces, (), "tanh", jnp.float64)
        actor, twins, value = (
            nets.squashed_actor(KEY),
            nets.twin_values(KEY),
            nets.state_value(KEY),
        )
        heads = with_table(actor.mean_and_log_std, np.stack([MEANS, LOG_STDS], axis=1))
        table = np.concatenate([self.q, [SLOPE]])[:, None]
        self.models = ActorTwinCriticValue(
            dataclasses.replace(actor, mean_and_log_std=heads),
            dataclasses.replace(twins, values=tuple(with_table(n, table) for n in twins.values)),
            dataclasses.replace(value, value=with_table(value.value, self.v[:, None])),
        )

    def batch(self, repeats):
        state = np.tile(np.arange(STATES), repeats)
        action = np.random.default_rng(1).uniform(-1, 1, (state.size, 1))
        return Transition(
            jnp.asarray(state, jnp.int32),
            jnp.asarray(action),
            jnp.asarray(BASE[state] + SLOPE * action[:, 0]),
            jnp.asarray(self.after[state], jnp.int32),
            jnp.asarray(self.ended[state]),
            jnp.ones(state.size, bool),  # cut, which changes nothing
        )


FIRST = SACV(discount=DISCOUNT, temperature=TEMPERATURE)
updated = jax.jit(lambda state, batch: FIRST.update(state, batch, key=KEY)[0])


@pytest.fixture(scope="module", params=[True, False], ids=["ends", "goes on"])
def continuous(request, x64):
    return Continuous(ends=request.param)


def test_the_state_value_form_stands_still_at_the_soft_values(continuous):
    """Q's gradient is 0 row by row; V's is 0 on average, within its standard error."""
    after = updated(FIRST.init(continuous.models), continuous.batch(DRAWS))
    for gradient in gradients(after.critic):
        assert np.allclose(gradient, 0, atol=1e-12)
    # A third of the rows see each state: the gradient of its entry is a third of its mean error.
    weight, bias = gradients(after.value)
    error = STATES * weight[:, 0]
    assert np.all(np.abs(error) < 4 * continuous.deviation / DRAWS**0.5)
    assert np.allclose(bias, weight.sum())


def test_state_values_make_the_mean_target_of_the_later_form(continuous):
    """E over a' of r + γ (min Q(s', a') − τ log π(a'|s')) is r + γ V(s')."""
    models, batch = continuous.models, continuous.batch(DRAWS)
    ours = FIRST.targets(FIRST.init(models), batch)
    later = SAC(discount=DISCOUNT)
    state = later.init(ActorTwinCritic(models.actor, models.critic))
    sampled = later.targets(state, batch, jnp.array(TEMPERATURE), key=KEY)
    gap = np.asarray(sampled - ours).reshape(DRAWS, STATES)
    deviation = np.where(continuous.ended, 0, DISCOUNT * continuous.deviation[continuous.after])
    assert np.allclose(gap.std(axis=0), deviation, rtol=0.05)
    assert np.all(np.abs(gap.mean(axis=0)) <= 4 * deviation / DRAWS**0.5)


def test_quadrature_agrees_with_the_density(x64):
    """The oracle above against ∫ π = 1 and ∫ (c·a − τ log π) π over a fine grid of actions."""
    edge = np.linspace(-14, 14, 200_001)
    action = np.tanh((edge[1:] + edge[:-1]) / 2)
    width = np.diff(np.tanh(edge))
    for mean, log_std, expected in zip(MEANS, LOG_STDS, moments()[0], strict=True):
        head = TanhGaussian(jnp.array([mean]), jnp.array([log_std]))
        log_prob = np.asarray(jax.vmap(head.log_prob)(jnp.asarray(action)[:, None]))
        mass = np.exp(log_prob) * width
        assert np.isclose(mass.sum(), 1, atol=1e-4)
        of_each = SLOPE * action - TEMPERATURE * log_prob
        assert np.isclose((mass * of_each).sum(), expected, atol=1e-3)
