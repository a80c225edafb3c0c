import importlib.util
import re

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from host_helpers import Discrete, Image, MakeScripted

from rewardtogo.envs.host import EnvironmentFault, InProcess, episode_seed, make_host


def test_seeds_are_numpys():
    words = np.random.SeedSequence((3, 1, 2)).generate_state(64)
    assert episode_seed(3, 1, 2 * 64 + 5) == words[5] // 2
    seeds = {episode_seed(run, i, e) for run in range(3) for i in range(3) for e in range(200)}
    assert len(seeds) == 3 * 3 * 200
    assert max(seeds) < 2**31


def test_each_episode_begins_with_its_seed_and_ends_with_its_true_successor():
    pool = InProcess(MakeScripted(length=2), 3, run_seed=5, dtype=np.float64)
    seeds = [[episode_seed(5, i, e) for i in range(3)] for e in range(2)]
    first = pool.reset()
    assert np.array_equal(first[:, 0], seeds[0])
    kept = [pool.step(np.array([3, 1, 2])) for _ in range(3)]
    for time, step in enumerate(kept[:2], start=1):
        assert np.array_equal(step.next_observation[:, 0], seeds[0])
        assert np.array_equal(step.next_observation[:, 1:], [[time, 3], [time, 1], [time, 2]])
        assert np.array_equal(step.reward, [3.0, 1.0, 2.0])
        assert np.array_equal(step.terminated, [time == 2] * 3)
        assert not step.truncated.any()
    assert kept[0].observation is kept[0].next_observation
    assert np.array_equal(kept[1].observation, [[seed, 0, 0] for seed in seeds[1]])
    assert np.array_equal(kept[2].next_observation[:, 0], seeds[1])
    assert np.array_equal(pool.episodes, [1, 1, 1])


def test_resumes_at_the_episodes_it_is_given():
    pool, resumed = (InProcess(MakeScripted(length=2), 2, run_seed=9) for _ in range(2))
    pool.reset()
    for _ in range(4):
        step = pool.step(np.zeros(2, int))
    resumed.episodes = pool.episodes
    assert np.array_equal(resumed.reset(), step.observation)
    assert np.array_equal(resumed.reset([8, 9])[:, 0], [8, 9])
    assert np.array_equal(resumed.episodes, [2, 2])


def test_dtypes_and_spaces_that_do_not_start_at_zero():
    for dtype in (np.float32, np.float64):
        pool = InProcess(MakeScripted(start=5), 2, run_seed=0, dtype=dtype)
        assert pool.reset().dtype == dtype
        step = pool.step(np.array([0, 3], np.int32))
        assert step.next_observation.dtype == step.reward.dtype == dtype
        assert np.array_equal(step.reward, [5.0, 8.0])

    pool = InProcess(Discrete, 2, run_seed=0)
    assert np.array_equal(pool.reset(), [2, 2])
    actions = np.full((2, 2), 0.5, np.float32)
    actions.flags.writeable = False
    steps = [pool.step(actions) for _ in range(2)]
    assert [step.next_observation.tolist() for step in steps] == [[1, 1], [0, 0]]
    assert steps[1].observation.tolist() == [2, 2]
    assert steps[0].reward.tolist() == [3.0, 3.0]
    assert steps[0].next_observation.dtype == np.int64

    pool = InProcess(Image, 2, run_seed=0)
    assert pool.reset().dtype == pool.step(np.zeros(2, int)).observation.dtype == np.uint8


def test_agrees_with_gymnasiums_own_vector_environment():
    """As long as each environment is in its first episode; later seeds are our own."""
    make, num_envs = make_host("CartPole-v1"), 4
    pool = InProcess(make, num_envs, run_seed=1)
    assert pool.max_episode_steps == 500
    oracle = SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    seeds: list[int | None] = [episode_seed(1, i, 0) for i in range(num_envs)]
    assert np.array_equal(pool.reset(), oracle.reset(seed=seeds)[0])
    going = np.ones(num_envs, bool)
    for action in np.random.default_rng(0).integers(0, 2, (200, num_envs)):
        step = pool.step(action)
        observation, reward, terminated, truncated, info = oracle.step(action)
        for i in np.flatnonzero(going):
            ended = terminated[i] or truncated[i]
            successor = info["final_obs"][i] if ended else observation[i]
            assert np.array_equal(step.next_observation[i], successor)
            assert step.reward[i] == reward[i]
            assert step.terminated[i] == terminated[i]
            assert step.truncated[i] == truncated[i]
        going &= ~(terminated | truncated)
    assert not going.any()
    oracle.close()


def test_time_limits_truncate():
    pool = InProcess(make_host("host_helpers:Scripted-v0", {"length": 9}), 1, run_seed=0)
    assert pool.max_episode_steps == 2
    pool.reset()
    pool.step(np.zeros(1, int))
    step = pool.step(np.zeros(1, int))
    assert step.truncated.all()
    assert not step.terminated.any()


@pytest.mark.parametrize(
    "fault, fault_step, said",
    [
        ("raise", 2, "step 2 of its episode 1 (seed {seed}): ZeroDivisionError: division by zero"),
        ("raise", 0, "the reset that begins its episode 1 (seed {seed}): ZeroDivisionError"),
        ("shape", 1, "step 1 of its episode 1 (seed {seed}): ValueError: an observation has shape"),
        ("reward", 2, "step 2 of its episode 1 (seed {seed}): ValueError: setting an array"),
    ],
)
def test_a_fault_says_where(fault, fault_step, said):
    seed = episode_seed(4, 1, 1)
    pool = InProcess(MakeScripted(3, fault, fault_step, seed), 2, run_seed=4, timeout=60.0)
    pool.reset()
    with pytest.raises(EnvironmentFault) as caught:
        for _ in range(9):
            pool.step(np.zeros(2, int))
    assert f"environment 1 failed in {said.format(seed=seed)}" in str(caught.value)
    assert caught.value.environments == (1,)
    assert caught.value.__cause__ is not None


def test_a_fault_in_the_first_reset_or_in_making():
    seed = episode_seed(4, 1, 0)
    pool = InProcess(MakeScripted(3, "raise", 0, seed), 2, run_seed=4)
    with pytest.raises(EnvironmentFault, match=r"environment 1 failed in the reset .* episode 0"):
        pool.reset()
    with pytest.raises(EnvironmentFault, match="environment 0 could not be made: ZeroDivision"):
        InProcess(lambda: 1 / 0, 2, run_seed=4)  # pyright: ignore[reportArgumentType]


def test_bad_arguments():
    for arguments, said in [
        ({"num_envs": 0}, "num_envs"),
        ({"run_seed": -1}, "run_seed"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ]:
        with pytest.raises(ValueError, match=said):
            InProcess(MakeScripted(), **({"num_envs": 1, "run_seed": 0} | arguments))
    pool = InProcess(MakeScripted(), 2, run_seed=0)
    pool.reset()
    with pytest.raises(ValueError, match=r"shape \(2, 1\), but must have \(2,\)"):
        pool.step(np.zeros((2, 1), int))
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.step(np.zeros(2, int))


@pytest.mark.parametrize(
    "name, env_args, said",
    [
        ("CartPol-v1", {}, "no environment 'CartPol-v1'. Did you mean 'CartPole-v1'?"),
        ("cartpole-v1", {}, "Did you mean 'CartPole-v1'?"),
        ("CartPole", {}, "no environment 'CartPole'"),
        ("no_such_module:CartPole-v1", {}, "there is no module 'no_such_module'"),
        ("host_helpers:Scripted-v1", {}, "Did you mean 'Scripted-v0'?"),
        ("host_helpers:NeedsAPackage-v0", {}, 'pip install "rewardtogo[gym]".*box of bricks'),
        ("CartPole-v1", {"gravityy": 1}, "gravityy"),
        ("Blackjack-v1", {}, "the observation space must be a Box or Discrete, not Tuple"),
    ],
)
def test_an_environment_that_cannot_be_had(name, env_args, said):
    with pytest.raises(ValueError, match=".*".join(map(re.escape, said.split(".*")))):
        make_host(name, env_args)


@pytest.mark.parametrize(
    "package, name", [("Box2D", "LunarLander-v3"), ("mujoco", "HalfCheetah-v5")]
)
def test_environments_of_the_extras(package, name):
    # importorskip would import Box2D with its warnings turned into errors, which crashes it.
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    pool = InProcess(make_host(name), 2, run_seed=0)
    observation = pool.reset()
    assert observation.dtype == np.float32
    assert np.array_equal(observation, InProcess(make_host(name), 2, run_seed=0).reset())
    pool.action_space.seed(0)
    for _ in range(20):
        step = pool.step(np.stack([pool.action_space.sample() for _ in range(2)]))
        assert np.isfinite(step.next_observation).all()
    pool.close()
