import multiprocessing as mp
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from host_helpers import Discrete, MakeScripted

from rewardtogo.envs.host import EnvironmentFault, InProcess, episode_seed, make_host
from rewardtogo.envs.workers import Workers


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    left = mp.active_children()
    for process in left:
        process.kill()
        process.join()
    assert not left


def test_the_same_as_in_one_process():
    """Five environments in two workers: the shares are unequal."""
    make, num_envs = make_host("CartPole-v1"), 5
    alone = InProcess(make, num_envs, run_seed=2)
    split = Workers(make, num_envs, num_workers=2, run_seed=2, timeout=60.0)
    assert split.observation_space == alone.observation_space
    assert split.action_space == alone.action_space
    assert split.max_episode_steps == alone.max_episode_steps
    for pool in (alone, split):
        pool.episodes = [3, 1, 4, 1, 5]
    assert np.array_equal(alone.reset(), split.reset())
    actions = np.random.default_rng(0).integers(0, 2, (150, num_envs))
    pairs = [(alone.step(action), split.step(action)) for action in actions]
    for ours, theirs in pairs:
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
    assert np.array_equal(alone.episodes, split.episodes)
    assert (alone.episodes >= [6, 4, 7, 4, 8]).all()
    assert np.array_equal(alone.reset([1, 2, 3, 4, 5]), split.reset([1, 2, 3, 4, 5]))
    split.close()
    split.close()
    with pytest.raises(RuntimeError, match="closed"):
        split.step(actions[0])


def test_boxes_of_actions_and_discrete_observations():
    split = Workers(Discrete, 2, num_workers=2, run_seed=0)
    assert split.reset().tolist() == [2, 2]
    steps = [split.step(np.array([[0, 0.5], [1, 1]], np.float32)) for _ in range(2)]
    assert [step.reward.tolist() for step in steps] == [[2.5, 4.0]] * 2
    assert steps[1].next_observation.tolist() == [0, 0]
    split.close()


def fault_of(fault, *, timeout=None):
    seed = episode_seed(4, 2, 1)
    pool = Workers(MakeScripted(3, fault, 2, seed), 4, num_workers=2, run_seed=4, timeout=timeout)
    pool.reset()
    for _ in range(4):
        pool.step(np.zeros(4, int))
    begun = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        pool.step(np.zeros(4, int))
    assert not mp.active_children()
    with pytest.raises(RuntimeError, match="closed"):
        pool.reset()
    return caught.value, seed, time.monotonic() - begun


def test_an_exception_comes_back_whole():
    fault, seed, _ = fault_of("raise")
    said = f"environment 2 failed in step 2 of its episode 1 (seed {seed}): ZeroDivisionError: "
    assert str(fault) == f"{said}division by zero"
    assert fault.environments == (2,)
    (note,) = fault.__notes__
    assert "In worker 1:" in note
    assert "host_helpers.py" in note


@pytest.mark.parametrize("fault, code", [("exit", "exit code 3;"), ("kill", "-9 (SIGKILL)")])
def test_a_dead_worker_is_named_at_once(fault, code):
    fault, _, seconds = fault_of(fault)
    assert "worker 1, which held the environments 2, 3, died with" in str(fault)
    assert code in str(fault)
    assert fault.environments == (2, 3)
    assert seconds < 5


def test_a_dead_worker_is_named_while_another_takes_its_time():
    """The one that is waited for first is in a step that lasts; nothing limits its time."""
    make = MakeScripted(3, "hang", 1, episode_seed(4, 0, 0))
    pool = Workers(make, 2, num_workers=2, run_seed=4)
    pool.reset()
    (second,) = (child for child in mp.active_children() if child.name == "environments 1-1")
    second.kill()
    begun = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"worker 1, .* died with exit code -9"):
        pool.step(np.zeros(2, int))
    assert time.monotonic() - begun < 5


def test_a_hang_is_named():
    fault, seed, seconds = fault_of("hang", timeout=0.5)
    assert "environment 2 hangs in worker 1: step 2 of its episode 1" in str(fault)
    assert f"(seed {seed})" in str(fault)
    assert "0.5 s" in str(fault)
    assert seconds < 5


def test_bad_arguments():
    with pytest.raises(ValueError, match="picklable"):
        Workers(lambda: Discrete(), 2, num_workers=1, run_seed=0)
    for num_workers in (0, 3):
        with pytest.raises(ValueError, match="num_workers"):
            Workers(Discrete, 2, num_workers=num_workers, run_seed=0)


# A finalizer made before multiprocessing is imported runs after its exit handler: ours must not.
SCRIPT = """
    import weakref
    class Anything: ...
    kept = Anything()
    weakref.finalize(kept, int)
    import multiprocessing, sys, time
    import numpy as np
    from host_helpers import MakeScripted
    from rewardtogo.envs.workers import Workers

    if __name__ == "__main__":
        make = MakeScripted(fault=sys.argv[1], fault_step=1)
        pool = Workers(make, 2, num_workers=2, run_seed=0)
        pool.reset()
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        if sys.argv[2] == "step":
            pool.step(np.zeros(2, int))
        if sys.argv[2] == "wait":
            time.sleep(1000)
"""


@pytest.mark.parametrize("fault, then", [("none", "wait"), ("hang", "step"), ("none", "leave")])
def test_workers_end_with_their_owner(tmp_path, fault, then):
    """Killed while the workers are idle, killed while they hang, and left without closing."""
    script = tmp_path / "owner.py"
    script.write_text(textwrap.dedent(SCRIPT))
    owner = subprocess.Popen(
        [sys.executable, str(script), fault, then],
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        workers = [int(pid) for pid in owner.stdout.readline().split()]
        if then != "leave":
            time.sleep(0.3)
            owner.kill()
        try:
            status = owner.wait(timeout=20)
        finally:
            owner.kill()
    assert len(workers) == 2
    assert status == (0 if then == "leave" else -signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    """Whether a process runs; one that ended and waits for init to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = pathlib.Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
