"""PPO and TRPO on MuJoCo through Gymnasium, beside SB3 and sb3-contrib with the same settings.

`python -m experiments.mujoco` trains what `runs/mujoco` does not hold yet, ours and the peers' in
turn, and writes `docs/mujoco.md`; names of runs as arguments train these only. Killed, it goes on
where it was. The peers are in the environment that `benchmarks/peers/install.sh torch` makes.
"""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import machine

from experiments.finished import found_in, seconds_of
from rewardtogo import PPO, TRPO, validate
from rewardtogo.devices import prepare
from rewardtogo.files import read_json, write_bytes, write_json
from rewardtogo.recipes import ActingRecipe, PPORecipe, TRPORecipe
from rewardtogo.runs.evaluation import Evaluation, evaluation
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.learning_curves import learning_curves
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.statistics import stratified_bootstrap
from rewardtogo.training.evaluators import Measured


SEEDS, PEER_SEEDS = 5, 3
TOTAL_STEPS, EPISODES = 300_000, 20
ROOT = Path(__file__).resolve().parent.parent
RUNS = Path("runs/mujoco")
PAGE, IMAGES = Path("docs/mujoco.md"), Path("docs/images")
PEERS_PYTHON = ROOT / ".venv-peers-torch" / "bin" / "python"
PEER = ROOT / "benchmarks" / "peers" / "mujoco_sb3.py"

# SB3's and sb3-contrib's defaults. SB3's value error has no half, so ours is weighed twice.
RECIPES: dict[str, ActingRecipe] = {
    "ppo": PPORecipe(
        algorithm=PPO(
            learning_rate=3e-4,
            discount=0.99,
            trace_decay=0.95,
            clip=0.2,
            num_epochs=10,
            num_minibatches=32,
            value_coef=1.0,
            max_grad_norm=0.5,
        ),
        num_envs=1,
        num_steps=2_048,
        hidden=(64, 64),
        activation="tanh",
        normalise_observation=True,
        normalise_reward=True,
        total_steps=TOTAL_STEPS,
    ),
    "trpo": TRPORecipe(
        algorithm=TRPO(
            learning_rate=1e-3,
            discount=0.99,
            trace_decay=0.95,
            max_kl=0.01,
            cg_iterations=15,
            damping=0.1,
            line_search_steps=10,
            num_epochs=10,
            num_minibatches=16,
        ),
        num_envs=1,
        num_steps=2_048,
        hidden=(64, 64),
        activation="tanh",
        normalise_observation=True,
        normalise_reward=True,
        total_steps=TOTAL_STEPS,
    ),
}
PEER_NAMES = {"ppo": "SB3", "trpo": "sb3-contrib"}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An algorithm on an environment, ours and the peer's."""

    algorithm: str
    environment: str

    @property
    def name(self) -> str:
        """`ppo-halfcheetah`, say."""
        return f"{self.algorithm}-{self.environment.split('-')[0].lower()}"

    @property
    def ours(self) -> RunFolder:
        """Of all our seeds."""
        return RunFolder(RUNS / self.name)

    @property
    def peers(self) -> RunFolder:
        """Of all the peer's seeds, written as ours is."""
        return RunFolder(RUNS / f"{self.name}-{PEER_NAMES[self.algorithm].lower()}")

    @property
    def settings(self) -> Settings:
        """Of our run."""
        run = RunSettings(seeds=SEEDS, eval_episodes=EPISODES)
        return Settings(RECIPES[self.algorithm], self.environment, run)

    def finished(self) -> bool:
        """Whether both are trained and evaluated."""
        return self.ours.evaluation.exists() and self.peers.evaluation.exists()


COMPARISONS = {
    comparison.name: comparison
    for comparison in (
        Comparison("ppo", "HalfCheetah-v5"),
        Comparison("ppo", "Hopper-v5"),
        Comparison("trpo", "HalfCheetah-v5"),
        Comparison("trpo", "Hopper-v5"),
    )
}


def train(comparison: Comparison) -> None:
    """Ours, all seeds at once; then the peer's, one after another."""
    path = comparison.ours.path
    fit_settings(comparison.settings, run_dir=path, resume=path.exists())
    for seed in range(PEER_SEEDS):
        _train_peer(comparison, seed)
    _gather(comparison)


def _peer_file(comparison: Comparison, seed: int) -> Path:
    return comparison.peers.path / f"seed-{seed}.json"


def _train_peer(comparison: Comparison, seed: int) -> None:
    output = _peer_file(comparison, seed)
    if output.exists():
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    arguments = {
        "algorithm": comparison.algorithm,
        "environment": comparison.environment,
        "seed": seed,
        "steps": TOTAL_STEPS,
        "episodes": EPISODES,
        "output": output.resolve(),
    }
    flags = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    print(f"{comparison.name}: {PEER_NAMES[comparison.algorithm]}, seed {seed}", flush=True)
    subprocess.run([str(PEERS_PYTHON), str(PEER), *flags], check=True)


def _gather(comparison: Comparison) -> None:
    """The peer's seeds in files of the form that ours have."""
    folder, found = comparison.peers, _peer_results(comparison)
    rows = [{"seed": result["seed"], **row} for result in found for row in result["rows"]]
    write_bytes(folder.metrics, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    write_json(
        folder.settings,
        {"algorithm": comparison.algorithm, "environment": comparison.environment},
    )
    column = lambda name: np.array([result[name] for result in found])
    episodes = Measured(column("returns"), {}, column("lengths"))
    summary = evaluation(episodes, range(PEER_SEEDS), column("steps"))
    write_json(folder.evaluation, summary.to_json())


def _peer_results(comparison: Comparison) -> list[dict[str, Any]]:
    return [read_json(_peer_file(comparison, seed)) for seed in range(PEER_SEEDS)]


def _lines(comparison: Comparison) -> list[str]:
    """Two lines of the table."""
    theirs = _peer_results(comparison)
    ours_took = f"{seconds_of(read_rows(comparison.ours.metrics)):,.0f} for all"
    theirs_took = f"{np.mean([result['seconds'] for result in theirs]):,.0f} for each"
    sides = (
        ("rewardtogo", comparison.ours, ours_took),
        (PEER_NAMES[comparison.algorithm], comparison.peers, theirs_took),
    )
    what = f"{comparison.algorithm.upper()} {comparison.environment}"
    return [
        _line(what if name == "rewardtogo" else "", name, found_in(folder), took)
        for name, folder, took in sides
    ]


def _line(what: str, name: str, found: Evaluation, took: str) -> str:
    mean = stratified_bootstrap(found.means, np.mean, seed=0)
    seeds = ", ".join(f"{value:,.0f}" for value in found.means)
    return f"| {what} | {name} | {found.iqm} | {mean} | {seeds} | {took} |"


def _picture(comparison: Comparison) -> list[str]:
    picture = IMAGES / f"mujoco-{comparison.name}.png"
    labels = ("rewardtogo", PEER_NAMES[comparison.algorithm])
    learning_curves([comparison.ours.path, comparison.peers.path], picture, labels=labels)
    what = f"{comparison.algorithm.upper()}, {comparison.environment}"
    return [f"### {what}", "", f"![{what}](images/{picture.name})", ""]


def write_page() -> None:
    """Write what is finished: the table and a picture for each of its lines."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    done = [comparison for comparison in COMPARISONS.values() if comparison.finished()]
    lines = [INTRODUCTION, *(line for comparison in done for line in _lines(comparison)), ""]
    lines += [_circumstances(done), CURVES]
    lines += [line for comparison in done for line in _picture(comparison)]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def _circumstances(done: Sequence[Comparison]) -> str:
    if not done:
        return ""
    versions = _peer_results(done[0])[0]["versions"]
    ours = read_json(done[0].ours.settings)["versions"]
    texts = [f"{name} {ours[name]}" for name in ("rewardtogo", "jax", "gymnasium")]
    texts += [f"{name} {versions[name]}" for name in ("stable_baselines3", "sb3_contrib", "torch")]
    return f"On {machine.describe()}; {', '.join(texts)}, mujoco {versions['mujoco']}.\n"


INTRODUCTION = f"""# MuJoCo

PPO and TRPO on Gymnasium's HalfCheetah and Hopper for {TOTAL_STEPS:,} steps, ours beside
Stable-Baselines3 and sb3-contrib in one run on one machine, with the peers' defaults on both sides:

- Both: one environment, rollouts of 2,048 steps, γ = 0.99, λ = 0.95; policy and value function with
  two hidden layers of 64 tanh each, log σ = 0 at first; observations and rewards normalised by
  running statistics, clipped at 10.
- PPO: 10 epochs of minibatches of 64, Adam at 3·10⁻⁴, clip 0.2, gradient norm 0.5, ½(V − G)²
  weighed by 1 (SB3: (V − G)² by ½).
- TRPO: KL ≤ 0.01, 15 iterations of conjugate gradient, damping 0.1, up to 10 lengths; for the value
  function 10 epochs of minibatches of 128, Adam at 10⁻³.

What differs: SB3's statistics move at every step, ours after every rollout; sb3-contrib's line
search shortens a step by 0.8, ours by 0.5. Ours trains its seeds, 0 to {SEEDS - 1}, in one
program; the peers' seeds, 0 to {PEER_SEEDS - 1}, run one after another, torch on one thread.

The figure is the final policy's return: last parameters, the mode of the policy, statistics frozen,
{EPISODES} episodes a seed on start states apart from training. Of three seeds the interquartile
mean is the mean. Intervals are 95 % bootstrap intervals over seeds; with so few they are too short.

To repeat it, after `benchmarks/peers/install.sh torch` (hours; what is in `runs/mujoco` is kept):

```
.venv/bin/python -m experiments.mujoco                     # or names: {" ".join(COMPARISONS)}
```

| work | by | IQM [95 % interval] | mean [95 % interval] | each seed | seconds of training |
|---|---|---|---|---|---|"""

CURVES = """The machine did other work meanwhile, so seconds are no benchmark: see
[Benchmarks](benchmarks.md).

## Learning curves

Return of the training episodes, sampled actions. Each seed thin, the interquartile mean with its
band.
"""


def main() -> None:
    """Train what is named, or all that is missing; the page is renewed after each."""
    for name in sys.argv[1:]:
        validate.one_of("run", name, COMPARISONS)
    for name in sys.argv[1:] or COMPARISONS:
        train(COMPARISONS[name])
        write_page()


if __name__ == "__main__":
    prepare("cpu", SEEDS)
    main()
