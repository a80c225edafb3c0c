import gymnasium as gym
import numpy as np
import pytest

from own_environments import Line
from rewardtogo.envs.block import EnvironmentFault
from rewardtogo.sources.collectors.host import HostRollout
from rewardtogo.sources.task import HostTask, JaxTask, is_jax_task, make_task


def task(name, **options):
    return make_task(name, num_seeds=1, run_seed=0, **options)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CartPole-v1", JaxTask),
        ("Pendulum-v1", JaxTask),
        ("FrozenLake-v1", HostTask),
        ("tabular:ShortCorridor", JaxTask),
        ("own_environments:Line", JaxTask),
        ("own_environments:Walk-v0", HostTask),
    ],
)
def test_in_jax_where_there_is_such_a_version(name, kind):
    assert isinstance(task(name), kind)
    assert is_jax_task(name, "auto") == (kind is JaxTask)


def test_gymnasium_where_it_is_asked_for():
    assert isinstance(task("CartPole-v1", backend="gymnasium"), HostTask)
    assert not is_jax_task("CartPole-v1", "gymnasium")
    with pytest.raises(ValueError, match="FrozenLake-v1"):
        task("FrozenLake-v1", backend="jax")


@pytest.mark.parametrize("backend", ["jax", "gymnasium"])
def test_both_sides_show_the_same_spaces(backend):
    """Policies act in [−1, 1]; the environment's own units are beside them."""
    place = task("Pendulum-v1", backend=backend)
    assert place.action_space == gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert place.raw_action_space == gym.make("Pendulum-v1").action_space
    assert place.observation_space.shape == (3,)
    assert place.max_steps == 200


def test_a_limit_on_time_is_known_only_where_there_is_one():
    assert task("CartPole-v1").max_steps == 500
    assert task("own_environments:Line").max_steps is None
    assert task("own_environments:Walk-v0").max_steps is None


def test_an_optimum_is_known_only_of_finite_mdps():
    optimum = task("tabular:ShortCorridor").optimum
    assert optimum is not None and (optimum.value, optimum.aliased) == (-3.0, True)
    assert task("CartPole-v1").optimum is None
    assert task("FrozenLake-v1").optimum is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CartPol-v1", "Did you mean 'CartPole-v1'"),
        ("cartpole-v1", "Did you mean 'CartPole-v1'"),
        ("own_environments:Lines", "Did you mean 'Line'"),
        ("own_environments:Walk-v1", "Did you mean 'Walk-v0'"),
        ("no_such_module:Walk-v0", "no module 'no_such_module'"),
        ("Blackjack-v1", "must be a Box or Discrete"),
    ],
)
def test_a_name_that_will_not_do_is_explained(name, words):
    with pytest.raises(ValueError, match=words):
        task(name)


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "own_environments:Line"])
def test_an_argument_that_the_environment_does_not_take(name):
    with pytest.raises(ValueError, match="colour"):
        task(name, env_args={"colour": 1})


def test_arguments_reach_the_environment():
    place = task("own_environments:Line", env_args={"bad_place": 3})
    assert isinstance(place, JaxTask) and place.env == Line(bad_place=3)
    place = task("FrozenLake-v1", env_args={"map_name": "8x8"})
    assert place.observation_space == gym.spaces.Discrete(64)


def test_closing_closes_what_was_opened_and_only_that():
    place = task("own_environments:Walk-v0")
    place.close()  # nothing was opened: nothing happens
    source = place.rollout(num_envs=2, num_steps=4)
    assert isinstance(source, HostRollout)
    pool = source.pool()
    pool.reset()
    place.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.reset()
    task("CartPole-v1").close()


def test_workers_are_as_many_as_asked_for_at_the_most():
    place = make_task("own_environments:Walk-v0", num_seeds=1, run_seed=0, num_workers=3)
    assert isinstance(place, HostTask)
    pool = place.pool(2, run_seed=0)
    try:
        assert pool.num_envs == 2 and pool.reset().shape == (2, 2)
    finally:
        pool.close()


def test_a_worker_that_dies_is_named():
    arguments = {"trouble": "die", "at": 1}
    place = make_task(
        "own_environments:Walk-v0", num_seeds=1, run_seed=0, env_args=arguments, num_workers=1
    )
    assert isinstance(place, HostTask)
    pool = place.pool(1, run_seed=0)
    pool.reset()
    with pytest.raises(EnvironmentFault, match="exit code 7"):
        pool.step(np.array([0]))
