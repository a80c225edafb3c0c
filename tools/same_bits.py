"""Whether the working tree computes the same bits as another commit: `tools/same_bits COMMIT`.

Every algorithm trains five iterations on a small problem, with the code of either, and what they
leave is compared: rows, evaluation, arrays of checkpoint and policy. All goes through the command,
whose flags stay the same while modules and names move. Bits differ between processors and versions,
so none are kept in the repository.
"""

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


ROOT = Path(__file__).resolve().parents[1]

# One process runs all cases of a tree: to start Python and JAX takes longer than a case.
DRIVER = """
import contextlib, io, json, sys, traceback
from rewardtogo.cli.main import main
for name, commands, out in json.load(open(sys.argv[1])):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            status = [main(command) for command in commands]
        except BaseException:
            status = traceback.format_exc()
    open(out, "w").write(json.dumps({"status": status, "text": text.getvalue()}))
    print(name, "ran" if status == [0] * len(commands) else status, flush=True)
"""

ROLLOUT = "--num-envs 2 --num-steps 16 --hidden 8 8"
EPISODIC = "--num-episodes 3 --max-episode-steps 30 --hidden 8 8"
REPLAY = (
    "--num-envs 2 --num-steps 4 --num-updates 3 --batch-size 8 --buffer-size 64 "
    "--learning-starts 16 --hidden 8 8"
)
CARTPOLE, PENDULUM = "CartPole-v1", "Pendulum-v1"
SHORT = "--report-every 1 --eval-episodes 4 --quiet --seeds"
ROLLOUT_STEPS, REPLAY_STEPS = 5 * 32, 16 + 5 * 8

TRAINED: dict[str, tuple[str, str, str, int]] = {
    "ppo": ("ppo", CARTPOLE, f"{ROLLOUT} --num-epochs 2", ROLLOUT_STEPS),
    "ppo-continuous": ("ppo", PENDULUM, f"{ROLLOUT} --normalise-reward", ROLLOUT_STEPS),
    "ppo-normalised": (
        "ppo",
        CARTPOLE,
        f"{ROLLOUT} --normalise-observation --normalise-reward",
        ROLLOUT_STEPS,
    ),
    "ppo-shared": ("ppo", CARTPOLE, f"{ROLLOUT} --shared-trunk", ROLLOUT_STEPS),
    "ppo-recurrent": (
        "ppo",
        CARTPOLE,
        f"{ROLLOUT} --recurrent-size 4 --num-minibatches 2",
        ROLLOUT_STEPS,
    ),
    "ppo-stacked": ("ppo", CARTPOLE, f"{ROLLOUT} --stack 3 --past-action", ROLLOUT_STEPS),
    "ppo-tabular": ("ppo", "tabular:FrozenLake-v1", ROLLOUT, ROLLOUT_STEPS),
    "ppo-kl": (
        "ppo",
        CARTPOLE,
        f"{ROLLOUT} --objective kl-penalty --target-kl 0.01",
        ROLLOUT_STEPS,
    ),
    "ppo-host": ("ppo", CARTPOLE, f"{ROLLOUT} --backend gymnasium", ROLLOUT_STEPS),
    "ppo-host-recurrent": (
        "ppo",
        CARTPOLE,
        f"{ROLLOUT} --recurrent-size 4 --num-minibatches 2 --backend gymnasium",
        ROLLOUT_STEPS,
    ),
    "a2c": ("a2c", CARTPOLE, ROLLOUT, ROLLOUT_STEPS),
    "a2c-continuous": ("a2c", PENDULUM, ROLLOUT, ROLLOUT_STEPS),
    "actor-critic": ("actor-critic", CARTPOLE, "--num-envs 2 --hidden 8 8", 10),
    "npg": ("npg", CARTPOLE, ROLLOUT, ROLLOUT_STEPS),
    "trpo": ("trpo", CARTPOLE, ROLLOUT, ROLLOUT_STEPS),
    "trpo-continuous": ("trpo", PENDULUM, ROLLOUT, ROLLOUT_STEPS),
    "reinforce": ("reinforce", CARTPOLE, EPISODIC, 300),
    "reinforce-learned": (
        "reinforce",
        CARTPOLE,
        f"{EPISODIC} --baseline learned",
        300,
    ),
    "reinforce-host": ("reinforce", CARTPOLE, f"{EPISODIC} --backend gymnasium", 300),
    "off-policy-pg": ("off-policy-pg", CARTPOLE, EPISODIC, 300),
    "dpg": ("dpg", PENDULUM, "--num-envs 2 --num-steps 32", 5 * 64),
    "dqn": ("dqn", CARTPOLE, REPLAY, REPLAY_STEPS),
    "dqn-prioritised": ("dqn", CARTPOLE, f"{REPLAY} --prioritised --n-step 3", REPLAY_STEPS),
    "dqn-twin": ("dqn", CARTPOLE, f"{REPLAY} --twin --dueling --n-step 2", REPLAY_STEPS),
    "dqn-host": ("dqn", CARTPOLE, f"{REPLAY} --backend gymnasium", REPLAY_STEPS),
    "dqn-host-prioritised": (
        "dqn",
        CARTPOLE,
        f"{REPLAY} --prioritised --backend gymnasium",
        REPLAY_STEPS,
    ),
    "discrete-sac": ("discrete-sac", CARTPOLE, REPLAY, REPLAY_STEPS),
    "sac": ("sac", PENDULUM, REPLAY, REPLAY_STEPS),
    "sac-host": ("sac", PENDULUM, f"{REPLAY} --backend gymnasium", REPLAY_STEPS),
    "sac-v": ("sac-v", PENDULUM, REPLAY, REPLAY_STEPS),
    "td3": ("td3", PENDULUM, REPLAY, REPLAY_STEPS),
    "ddpg": ("ddpg", PENDULUM, f"{REPLAY} --normalise-observation", REPLAY_STEPS),
}

MAZE, WALK = "tabular:DynaMaze", "tabular:RandomWalk-5"
PRINTED = {
    **{
        f"control-{method}": f"control {method} {MAZE} --steps 400 --seeds 3 --json"
        for method in (
            "q-learning",
            "double-q-learning",
            "sarsa",
            "expected-sarsa",
            "dyna-q",
            "dyna-q+",
            "certainty-equivalence",
        )
    },
    "control-features": (
        "control sarsa MountainCar-v0 --features tiles --episodes 2 --seeds 2 --json"
    ),
    **{
        f"predict-{method}": f"predict {method} {WALK} --episodes 20 --seeds 2 --json"
        for method in ("td0", "td-lambda", "n-step", "mc-first", "mc-every")
    },
    "predict-features": f"predict semi-gradient-td {WALK} --features aggregation --groups 2 "
    "--episodes 20 --seeds 2 --json",
    **{
        f"predict-{method}": f"predict {method} tabular:Baird --steps 200 --seeds 2 --json"
        for method in ("off-policy-td", "tdc", "gtd2", "emphatic-td")
    },
    "solve": "solve FrozenLake-v1 --json",
    "solve-policy": "solve Gambler --method policy-iteration --json",
    "solve-soft": "solve FrozenLake-v1 --temperature 0.1 --json",
    "lab": "lab Garnet-4-2-2 --json --horizon 5 --trajectories 2000",
}
# What is printed of time is not compared.
TIMES = ("seconds", "microseconds", "time/time_elapsed", "time/fps")

Case = tuple[str, list[list[str]], str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="tools/same_bits", description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases, by name")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="compare within this share, with x64 on; what names float32 stays in float32",
    )
    options = parser.parse_args(argv)
    names = [*_training_names(), *PRINTED]
    unknown = sorted(set(options.only or ()) - set(names))
    if unknown:
        parser.error(f"no case is named {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = [name for name in names if options.only is None or name in options.only]
    with tempfile.TemporaryDirectory() as folder, _worktree(options.commit, folder) as other:
        trees = {"commit": other, "working": ROOT}
        doubled = options.tolerance is not None
        found = {
            side: _ran(tree, Path(folder) / side, wanted, doubled=doubled)
            for side, tree in trees.items()
        }
        bad = 0
        for name in wanted:
            before, after = (found[side] / name for side in trees)
            different = _differences(before, after, options.tolerance)
            bad += bool(different)
            print(f"{name:<24}{'DIFFERS: ' + '; '.join(different) if different else 'same'}")
    print(f"{len(wanted) - bad} of {len(wanted)} cases are the same as at {options.commit}.")
    return 1 if bad else 0


def _training_names() -> list[str]:
    return [f"{name}-{seeds}" for name in TRAINED for seeds in (1, 3)] + ["resumed"]


@contextlib.contextmanager
def _worktree(commit: str, folder: str) -> Iterator[Path]:
    place = Path(folder) / "tree"
    command = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*command, "add", "--detach", "--quiet", str(place), commit], check=True)
    try:
        yield place
    finally:
        subprocess.run([*command, "remove", "--force", str(place)], check=True)


def _ran(tree: Path, folder: Path, names: Sequence[str], *, doubled: bool) -> Path:
    """Run these cases with the code of one tree; what they leave is under `folder`."""
    folder.mkdir()
    cases = [_case(name, folder / name) for name in names]
    (folder / "cases.json").write_text(json.dumps(cases))
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))},
        "PYTHONPATH": str(tree / "src"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        # Set once: the command would give each number of seeds its own devices.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "JAX_ENABLE_X64": str(int(doubled)),
    }
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(folder / "cases.json")]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    return folder


def _case(name: str, folder: Path) -> Case:
    folder.mkdir()
    out = str(folder / "said.json")
    if name in PRINTED:
        return name, [PRINTED[name].split()], out
    if name == "resumed":
        first = _command("ppo", 3, folder / "run", total_steps=3 * 32)
        return name, [first, [*_command("ppo", 3, folder / "run"), "--resume"]], out
    case, _, seeds = name.rpartition("-")
    return name, [_command(case, int(seeds), folder / "run")], out


def _command(case: str, seeds: int, run: Path, total_steps: int | None = None) -> list[str]:
    algorithm, environment, flags, steps = TRAINED[case]
    end = ["--total-steps", str(total_steps or steps), "--run-dir", str(run)]
    return ["train", algorithm, environment, *flags.split(), *SHORT.split(), str(seeds), *end]


def _differences(before: Path, after: Path, tolerance: float | None) -> list[str]:
    said = [json.loads((folder / "said.json").read_text()) for folder in (before, after)]
    if said[0]["status"] != said[1]["status"] or any(s != 0 for s in said[0]["status"]):
        return [f"exit status {said[0]['status']}, {said[1]['status']}: {said[1]['text'][-300:]}"]
    if not (before / "run").exists():
        one, other = (_timeless(json.loads(each["text"])) for each in said)
        return [] if _close(one, other, tolerance) else ["what is printed"]
    found = []
    rows = [_rows(folder / "run" / "metrics.jsonl") for folder in (before, after)]
    if len(rows[0]) != len(rows[1]):
        found.append(f"{len(rows[0])} rows and {len(rows[1])}")
    elif not all(_within(a, b, tolerance) for a, b in zip(*rows, strict=True)):
        found.append("rows of metrics")
    evaluations = [json.loads((f / "run" / "evaluation.json").read_text()) for f in (before, after)]
    if not _within(*evaluations, tolerance):
        found.append("evaluation")
    for kind in ("policy", "checkpoints"):
        arrays = [_arrays(folder / "run" / kind) for folder in (before, after)]
        found += [] if _same_arrays(*arrays, tolerance) else [f"arrays of {kind}"]
    return found


def _timeless(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _timeless(value) for name, value in data.items() if name not in TIMES}
    return [_timeless(value) for value in data] if isinstance(data, list) else data


def _rows(path: Path) -> list[dict[str, Any]]:
    return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]


def _within(before: Mapping[str, Any], after: Mapping[str, Any], tolerance: float | None) -> bool:
    """Whether all that was there is there still; what is new is no difference."""
    kept = {name: after.get(name) for name in before}
    return _close(dict(before), kept, tolerance)


def _close(one: Any, other: Any, tolerance: float | None) -> bool:
    if tolerance is None or type(one) is not type(other):
        return one == other
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[k], other[k], tolerance) for k in one)
    if isinstance(one, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_close(a, b, tolerance) for a, b in pairs)
    if isinstance(one, float):
        return abs(one - other) <= tolerance * max(1.0, abs(one))
    return one == other


def _arrays(folder: Path) -> list[np.ndarray]:
    """The arrays of the newest checkpoint, whatever their names."""
    newest = max(folder.glob("step_*"))
    return list(load_file(newest / "arrays.safetensors").values())


def _same_arrays(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], tolerance: float | None
) -> bool:
    """Whether every array that was there is there still, wherever it is kept now."""
    if tolerance is None:
        kinds = lambda arrays: Counter(map(_digest, arrays))
        return not kinds(before) - kinds(after)
    left = list(after)
    for array in before:
        match = next((i for i, x in enumerate(left) if _near(array, x, tolerance)), None)
        if match is None:
            return False
        left.pop(match)
    return True


def _digest(array: np.ndarray) -> tuple[str, tuple[int, ...], str]:
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return str(array.dtype), array.shape, content


def _near(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if not np.issubdtype(one.dtype, np.floating):
        return np.array_equal(one, other)
    return bool(
        np.allclose(one, other, rtol=0, atol=tolerance * max(1.0, np.abs(one).max(initial=0)))
    )


if __name__ == "__main__":
    sys.exit(main())
