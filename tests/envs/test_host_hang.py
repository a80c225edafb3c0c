"""The watchdog ends the whole process, so each test looks at one from outside."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest


def run(code):
    here = str(pathlib.Path(__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "fault_step, where",
    [(2, "step 2 of its episode 1"), (0, "the reset that begins its episode 1")],
)
def test_a_hang_ends_the_run(fault_step, where):
    ended = run(f"""
        import numpy as np
        from host_helpers import MakeScripted
        from rewardtogo.envs.host import InProcess, episode_seed
        make = MakeScripted(3, "hang", {fault_step}, episode_seed(0, 1, 1))
        pool = InProcess(make, 2, run_seed=0, timeout=0.5)
        pool.reset()
        while True:
            pool.step(np.zeros(2, int))
    """)
    assert ended.returncode == 70
    assert f"environment 1 hangs: {where}" in ended.stderr
    assert "0.5 s" in ended.stderr
    assert "--env-timeout" in ended.stderr
    assert "--env-workers" in ended.stderr
    assert "host_helpers.py" in ended.stderr  # the stack shows where
    assert ended.stdout == ""


def test_time_between_steps_is_nobodys_hang():
    ended = run("""
        import time
        import numpy as np
        from host_helpers import MakeScripted
        from rewardtogo.envs.host import InProcess
        pool = InProcess(MakeScripted(), 2, run_seed=0, timeout=0.2)
        pool.reset()
        for _ in range(3):
            time.sleep(0.5)
            pool.step(np.zeros(2, int))
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            pool.step(np.zeros(2, int))
        print("fine")
    """)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")
