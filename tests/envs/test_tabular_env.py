import json
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.envs.check import check
from rewardtogo.envs.registry import is_jax_environment, make
from rewardtogo.envs.tabular import TabularEnvironment, TabularState, environment_of, exact_optimum
from rewardtogo.envs.wrappers import TimeLimit
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.learning_curves import figure
from rewardtogo.sources.task import make_task
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem, problem_names
from rewardtogo.tabular.problems.files import write_mdp
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.problems.problem import Problem
from rewardtogo.tabular.successors import mdp_from_outcomes
from rewardtogo.types import Optimum
from short_runs import (
    compile_cache,  # noqa: F401
    scratch,
    short_run,
)


DRAWS = 20_000


def within_four_sigma(counts, probabilities):
    deviation = np.sqrt(probabilities * (1 - probabilities) / DRAWS)
    return np.all(np.abs(counts / DRAWS - probabilities) <= 4 * deviation + 1e-12)


def corridor(length, reward=0.0, initial=None):
    """Left or right, both ends terminal; begins in the middle."""
    transition = np.zeros((length, 2, length))
    for s in range(length):
        transition[s, 0, max(s - 1, 0)] = transition[s, 1, min(s + 1, length - 1)] = 1
    start = np.eye(length)[length // 2] if initial is None else initial
    ends = np.isin(np.arange(length), [0, length - 1])
    return tabular_mdp(transition, np.full((length, 2), reward), start, discount=0.9, terminal=ends)


def one_step_loop():
    """From state 0: end at once with probability 0.3 and reward 2, else stay and earn -1."""
    outcomes = [[[(0.3, 1, 2.0, True), (0.7, 0, -1.0, False)]], [[(1.0, 1, 0.0, True)]]]
    return mdp_from_outcomes(outcomes, [1.0, 0.0], discount=1.0)


def test_steps_follow_the_tables(key):
    """Frequencies of s0 and of s' for every (s, a), each within 4 deviations of its probability."""
    mdp = garnet(num_states=4, num_actions=2, discount=0.9, num_terminal=1, key=key)
    env = TabularEnvironment(mdp)
    keys = jr.split(jr.key(1), DRAWS)
    state, observation = jax.jit(lambda keys: jax.vmap(env.reset)(keys))(keys)
    assert np.array_equal(observation, state.index)
    assert within_four_sigma(np.bincount(observation, minlength=4), mdp.initial)

    @jax.jit
    def step(s, a):
        return jax.vmap(lambda key: env.step(TabularState(s, key), a))(keys)

    for s, a in np.ndindex(3, 2):
        after, out = step(jnp.asarray(s), jnp.asarray(a))
        assert within_four_sigma(np.bincount(out.observation, minlength=4), mdp.transition[s, a])
        assert np.array_equal(out.terminated, np.asarray(out.observation) == 3)
        assert not out.truncated.any()
        assert np.allclose(out.reward, mdp.reward[s, a], rtol=1e-6)
        assert out.reward.dtype == jnp.float32
        assert not np.any(jr.key_data(after.key) == jr.key_data(keys))


def test_successive_draws_are_independent(key):
    """The number of steps to the end is geometric, which a key used twice would not give."""
    env = TabularEnvironment(one_step_loop())

    def lengths(key):
        state, _ = env.reset(key)

        def act(state, _):
            state, out = env.step(state, jnp.zeros((), jnp.int32))
            return state, (out.terminated, out.reward)

        return jax.lax.scan(act, state, length=4)[1]

    ended, reward = jax.jit(jax.vmap(lengths))(jr.split(key, DRAWS))
    first = np.argmax(ended, axis=1) + 1
    for steps in (1, 2, 3):
        probability = 0.7 ** (steps - 1) * 0.3
        observed = np.sum(ended.any(axis=1) & (first == steps))
        assert within_four_sigma(observed, np.asarray(probability))
    # Rewards belong to the outcome drawn, and none follows the end.
    before = np.cumsum(ended, axis=1) == 0
    expected = np.where(before, -1.0, np.where(np.cumsum(ended, axis=1) == 1, 2.0, 0.0))
    assert np.array_equal(reward, expected)


@pytest.mark.parametrize(
    ("name", "arguments"), [("CliffWalking-v1", {}), ("FrozenLake-v1", {"is_slippery": False})]
)
def test_deterministic_tables_are_gymnasium_step_by_step(name, arguments):
    with gym.make(name, **arguments) as host:
        base: Any = host.unwrapped
        # Its rewards are whole numbers; an outcome's is a float.
        table = {
            s: {
                a: [(p, int(to), float(r), bool(end)) for p, to, r, end in outcomes]
                for a, outcomes in actions.items()
            }
            for s, actions in base.P.items()
        }
        env = TabularEnvironment(mdp_from_outcomes(table, base.initial_state_distrib, discount=1.0))
        assert (env.observation_space, env.action_space) == (
            host.observation_space,
            host.action_space,
        )
        step, draw = (
            jax.jit(lambda state, action: env.step(state, action)),
            np.random.default_rng(0),
        )
        for episode in range(3):
            seen, _ = host.reset(seed=episode)
            state, observation = env.reset(jr.key(episode))
            assert seen == observation
            for _ in range(60):
                action = int(draw.integers(4))
                seen, reward, terminated, _, _ = host.step(action)
                state, out = step(state, jnp.asarray(action))
                assert (seen, reward, terminated) == (out.observation, out.reward, out.terminated)
                if terminated:
                    break


def test_aliased_states_look_alike():
    mdp = corridor(4)
    env = TabularEnvironment(mdp, np.array([0, 1, 1, 0]))
    assert env.observation_space == gym.spaces.Discrete(2)
    state, observation = env.reset(jr.key(0))
    assert (state.index, observation, observation.dtype) == (2, 1, jnp.int32)
    state, out = env.step(state, jnp.asarray(0))
    assert (state.index, out.observation, out.terminated) == (1, 1, False)
    state, out = env.step(state, jnp.asarray(0))
    assert (state.index, out.observation, out.terminated) == (0, 0, True)


def test_the_end_and_the_limit_are_different_things():
    """Cut after two steps: one step on is neither, the second an end or a cut."""
    env = environment_of(Problem(name="x", mdp=corridor(7), source="", max_steps=2))
    for actions, terminated in (((1, 1), False), ((1, 0), False)):
        state, _ = env.reset(jr.key(0))
        state, out = env.step(state, jnp.asarray(actions[0]))
        assert (out.terminated, out.truncated) == (False, False)
        state, out = env.step(state, jnp.asarray(actions[1]))
        assert (out.terminated, out.truncated) == (terminated, True)
    shorter = environment_of(Problem(name="x", mdp=corridor(3), source="", max_steps=2))
    _, out = shorter.step(shorter.reset(jr.key(0))[0], jnp.asarray(1))
    assert (out.terminated, out.truncated) == (True, False)


@pytest.mark.parametrize(
    ("mdp", "limit"),
    [
        (corridor(5), 200),
        (corridor(30), 300),
        (corridor(150), 1000),
        (tabular_mdp([[[0, 1]], [[0, 1]]], [[1], [0]], [1, 0], discount=1.0), 1),
        (tabular_mdp(np.eye(4, k=1)[:, None] + np.diag([0, 0, 0, 1])[:, None], [[1]] * 3 + [[0]],
                     [1, 0, 0, 0], discount=1.0), 3),
    ],
    ids=["at least 200", "ten a state", "at most 1000", "one step", "longest episode"],
)  # fmt: skip
def test_a_problem_without_a_limit_gets_one(mdp, limit):
    assert environment_of(Problem(name="x", mdp=mdp, source="")).max_steps == limit


def test_no_episode_begins_at_its_end():
    with pytest.raises(ValueError, match=r"`initial` is 0\.25 at state 2, which is terminal"):
        TabularEnvironment(corridor(3, initial=[0, 0.75, 0.25]))


@pytest.mark.parametrize("observation", [[0, 2, 2], [0, 1], [-1, 0, 1]])
def test_observations_are_numbered_from_zero(observation):
    with pytest.raises(ValueError, match="a whole number for each of 3 states"):
        TabularEnvironment(corridor(3), np.array(observation))


def test_every_listed_problem_is_an_environment():
    for name in problem_names():
        assert is_jax_environment(f"tabular:{name}")
        env, found = make(f"tabular:{name}"), problem(name)
        assert isinstance(env, TimeLimit) and isinstance(env.env, TabularEnvironment)
        assert found.max_steps in (None, env.max_steps)
        assert env.action_space == gym.spaces.Discrete(found.mdp.num_actions)


def test_a_file_is_an_environment(tmp_path):
    write_mdp(corridor(7, -1.0), tmp_path / "mine.npz")
    name = f"tabular:{tmp_path / 'mine.npz'}"
    assert is_jax_environment(name)
    assert exact_optimum(make(name)) == Optimum(-3.0, 200, aliased=False)


@pytest.mark.parametrize("name", ["FrozenLake-v1", "ShortCorridor"])
def test_our_own_check_finds_no_fault(name):
    assert check(f"tabular:{name}") == []


@pytest.mark.parametrize(
    ("name", "env_args", "message"),
    [
        ("FrozenLake-v9", {}, r"no problem is named 'FrozenLake-v9'\. Did you mean"),
        ("FrozenLake-v1", {"discount": 0.9}, "'discount'; its arguments: none"),
        ("", {}, "no problem is named ''"),
        ("absent.npz", {}, r"tabular:absent\.npz cannot be read: No such file"),
    ],
)
def test_one_clear_error(name, env_args, message):
    with pytest.raises(ValueError, match=message):
        make(f"tabular:{name}", env_args)


def test_gymnasium_is_not_asked_for_what_it_does_not_have():
    with pytest.raises(ValueError, match="runs in JAX, not in Gymnasium; 'FrozenLake-v1' without"):
        make_task("tabular:FrozenLake-v1", num_seeds=1, run_seed=0, backend="gymnasium")


def test_the_optimum_is_that_of_the_limit():
    """Each step costs 1: with room for 3 steps the middle of seven is left, with 2 it is not."""
    value = lambda limit: exact_optimum(TimeLimit(TabularEnvironment(corridor(7, -1.0)), limit))
    assert value(2) == Optimum(-2.0, 2, aliased=False)
    assert value(3) == Optimum(-3.0, 3, aliased=False)
    assert value(9) == Optimum(-3.0, 9, aliased=False)
    assert exact_optimum(make("CartPole-v1")) is None
    assert exact_optimum(TabularEnvironment(corridor(7))) is None


def test_the_optimum_is_not_discounted_and_over_the_initial_states():
    """0.5 · 1 + 0.5 · 2 steps at -1 each, although γ = 0.9."""
    mdp = corridor(5, -1.0, initial=[0, 0.5, 0.5, 0, 0])
    optimum = exact_optimum(TimeLimit(TabularEnvironment(mdp), 50))
    assert optimum is not None and optimum.value == -1.5
    assert str(optimum) == "optimum -1.5 (exact, not discounted, 50 steps)"


def test_what_is_not_seen_makes_it_an_upper_bound():
    mdp, seen = corridor(4, -1.0), np.array([0, 1, 1, 0])
    optimum = exact_optimum(TimeLimit(TabularEnvironment(mdp, seen), 50))
    assert str(optimum) == "upper bound -1 (exact optimum where the state is seen, 50 steps)"


def finished(name="FrozenLake-v1", algorithm="ppo"):
    path = scratch() / f"tabular-{name}-{algorithm}"
    if not path.exists():
        fit_settings(short_run(256, environment=f"tabular:{name}"), run_dir=path, quiet=True)
    return path


def reference_line(drawing):
    dashed = [line for line in drawing.axes[0].get_lines() if line.get_linestyle() == "--"]
    return [(line.get_label(), line.get_ydata()[0]) for line in dashed]


def frozen_lake_within(steps):
    """From the table of Gymnasium itself, in plain Python."""
    with gym.make("FrozenLake-v1") as env:
        base: Any = env.unwrapped
        table = base.P
    values = dict.fromkeys(table, 0.0)
    for _ in range(steps):
        values = {
            s: max(
                sum(p * (r + (not ended) * values[to]) for p, to, r, ended in outcomes)
                for outcomes in actions.values()
            )
            for s, actions in table.items()
        }
    return values[0]


def test_a_run_shows_the_optimum_everywhere():
    path, expected = finished(), frozen_lake_within(100)
    saved = json.loads((path / "evaluation.json").read_text())["optimum"]
    assert saved == {"value": pytest.approx(expected, abs=1e-14), "steps": 100, "aliased": False}
    label = f"optimum {expected:.4g} (exact, not discounted, 100 steps)"
    (line,) = reference_line(figure([path]))
    assert line == (label, pytest.approx(expected, abs=1e-14))
    assert (path / "curve.png").exists()
    result = fit_settings(
        short_run(256, environment="tabular:FrozenLake-v1"), run_dir=path, resume=True
    )
    assert f"\n  {label}\n" in str(result)


def test_pictures_of_several_runs(tmp_path):
    path = finished()
    again = tmp_path / "again"
    again.mkdir()
    for name in ("settings.json", "metrics.jsonl"):
        (again / name).write_bytes((path / name).read_bytes())
    assert reference_line(figure([again])) == []  # not evaluated yet
    assert len(reference_line(figure([path, again]))) == 1
    assert reference_line(figure([path], reference=0.5)) == [("reference", 0.5)]
    assert reference_line(figure([path], tag="train/loss")) == []
    text = (path / "settings.json").read_text()
    (again / "settings.json").write_text(text.replace("tabular:FrozenLake-v1", "CartPole-v1"))
    assert reference_line(figure([path, again])) == []


def test_an_episode_cut_short_in_training_may_exceed_it(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    for name in ("settings.json", "metrics.jsonl", "evaluation.json"):
        (path / name).write_bytes((finished() / name).read_bytes())
    settings = json.loads((path / "settings.json").read_text())
    for cut, lines in ((99, 0), (100, 1), (None, 1)):
        settings["recipe"]["max_episode_steps"] = cut
        (path / "settings.json").write_text(json.dumps(settings))
        assert len(reference_line(figure([path]))) == lines
