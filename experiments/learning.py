"""What each algorithm must learn, over ten seeds, and the page that shows what it did learn.

`python -m experiments.learning` runs what has not been run yet and writes `docs/learning.md`;
names of checks as arguments run those anew. `make learn` holds the table against its thresholds.
"""

import dataclasses
import math
import shutil
import sys
from pathlib import Path

import numpy as np

from experiments import baselines
from experiments.finished import found_in as found_in
from rewardtogo import validate
from rewardtogo.algorithms.ppo import Objective
from rewardtogo.algorithms.reinforce import Baseline
from rewardtogo.devices import prepare
from rewardtogo.recipes import ActingRecipe, default_recipe
from rewardtogo.runs.evaluation import Evaluation
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.learning_curves import learning_curves
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.sources.task import Backend
from rewardtogo.statistics import Interval, stratified_bootstrap


SEEDS = 10
RUNS = Path("runs/learning")
PAGE = Path("docs/learning.md")
IMAGES = Path("docs/images")


@dataclasses.dataclass(frozen=True)
class Check:
    """A run, and the final return that it must reach."""

    settings: Settings
    threshold: float
    every_seed: bool = False  # each seed by itself, not their interquartile mean

    def passed(self, found: Evaluation) -> bool:
        """Whether the threshold is reached."""
        reached = min(found.means) if self.every_seed else found.iqm.estimate
        return reached >= self.threshold


def _check(
    algorithm: str,
    environment: str,
    threshold: float,
    recipe: ActingRecipe | None = None,
    *,
    every_seed: bool = False,
    backend: Backend = "auto",
    seeds: int = SEEDS,
) -> Check:
    recipe = recipe or default_recipe(algorithm, environment)
    run = RunSettings(seeds=seeds, backend=backend)
    return Check(Settings(recipe, environment, run), threshold, every_seed)


def _changed(recipe: ActingRecipe, **algorithm: object) -> ActingRecipe:
    changed = dataclasses.replace(recipe.algorithm, **algorithm)  # pyright: ignore
    return dataclasses.replace(recipe, algorithm=changed)  # pyright: ignore


_REINFORCE = default_recipe("reinforce", "CartPole-v1")
_NO_BASELINE = _changed(_REINFORCE, baseline=Baseline.NONE)
_FULL_RETURN = _changed(_NO_BASELINE, causality=False)


def _kl_penalty(environment: str) -> Check:
    recipe = _changed(default_recipe("ppo", environment), objective=Objective.KL_PENALTY)
    return _check("ppo", environment, -math.inf, recipe)


def _minatar(game: str, threshold: float) -> Check:
    return _check("ppo", f"MinAtar/{game}-v1", threshold, seeds=3)


CHECKS: dict[str, Check] = {
    "ppo-cartpole": _check("ppo", "CartPole-v1", 475, every_seed=True),
    "ppo-pendulum": _check("ppo", "Pendulum-v1", -200),
    "ppo-acrobot": _check("ppo", "Acrobot-v1", -90),
    "ppo-kl-cartpole": _kl_penalty("CartPole-v1"),
    "ppo-kl-pendulum": _kl_penalty("Pendulum-v1"),
    "ppo-kl-acrobot": _kl_penalty("Acrobot-v1"),
    "ppo-cartpole-positions": _check("ppo", "CartPolePositions-v1", 450),
    "ppo-t-maze": _check("ppo", "TMaze-v0", 3.8),
    "ppo-breakout": _minatar("Breakout", 25),
    "ppo-asterix": _minatar("Asterix", -math.inf),
    "a2c-cartpole": _check("a2c", "CartPole-v1", 475),
    "sac-pendulum": _check("sac", "Pendulum-v1", -170),
    "sac-v-pendulum": _check("sac-v", "Pendulum-v1", -200),
    "discrete-sac-cartpole": _check("discrete-sac", "CartPole-v1", 450),
    "td3-pendulum": _check("td3", "Pendulum-v1", -170),
    "ddpg-pendulum": _check("ddpg", "Pendulum-v1", -170),
    "dpg-linear-quadratic": _check("dpg", "LinearQuadratic-v0", -1.65),
    "dpg-pendulum": _check("dpg", "Pendulum-v1", -200),
    "dqn-cartpole": _check("dqn", "CartPole-v1", 475),
    "double-dqn-cartpole": _check(
        "dqn", "CartPole-v1", 475, _changed(default_recipe("dqn", "CartPole-v1"), double=True)
    ),
    "prioritised-dqn-cartpole": _check(
        "dqn",
        "CartPole-v1",
        475,
        dataclasses.replace(  # pyright: ignore
            default_recipe("dqn", "CartPole-v1"),
            prioritised=True,
            importance_updates=50_000,
            n_step=3,
        ),
    ),
    "reinforce-cartpole": _check("reinforce", "CartPole-v1", 450),
    "actor-critic-cartpole": _check("actor-critic", "CartPole-v1", 450),
    "off-policy-pg-cartpole": _check("off-policy-pg", "CartPole-v1", 450),
    "trpo-cartpole": _check("trpo", "CartPole-v1", 475),
    "trpo-pendulum": _check("trpo", "Pendulum-v1", -250),
    "npg-cartpole": _check("npg", "CartPole-v1", 475),
    # Beside the ones above, in pictures: no threshold of their own.
    "reinforce-no-baseline": _check("reinforce", "CartPole-v1", -math.inf, _NO_BASELINE),
    "reinforce-full-return": _check("reinforce", "CartPole-v1", -math.inf, _FULL_RETURN),
    "ppo-cartpole-gymnasium": _check("ppo", "CartPole-v1", 475, backend="gymnasium"),
}

COMPARISONS = {
    "Causality": (
        ("reinforce-no-baseline", "reinforce-full-return"),
        "REINFORCE without a baseline weighs each step by the rewards that follow it, or by the "
        "whole return of its episode (`--no-causality`).",
    ),
    "JAX and Gymnasium": (
        ("ppo-cartpole", "ppo-cartpole-gymnasium"),
        "The same PPO on CartPole-v1 in JAX, and through Gymnasium (`--backend gymnasium`).",
    ),
}
for _environment in ("CartPole", "Pendulum", "Acrobot"):
    COMPARISONS[f"Clip and KL penalty on {_environment}"] = (
        (f"ppo-{_environment.lower()}", f"ppo-kl-{_environment.lower()}"),
        f"PPO's two objectives on {_environment}-v1, nothing else changed "
        "(`--objective kl-penalty`).",
    )

COMPARED_AT = 300_000  # environment steps of each seed


def train(name: str, *, anew: bool = False) -> RunFolder:
    """The folder of a finished run of a check, trained where there is none."""
    path = RUNS / name
    if anew:
        shutil.rmtree(path, ignore_errors=True)
    fit_settings(CHECKS[name].settings, run_dir=path, resume=path.exists())
    return RunFolder.open_(path)


def return_at(folder: RunFolder, steps: int) -> Interval:
    """The seeds' interquartile mean of the training return, interpolated at `steps`."""
    rows = [r for r in read_rows(folder.metrics) if "rollout/ep_rew_mean" in r]
    values = []
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        at = [row["time/total_timesteps"] for row in mine]
        values.append(np.interp(steps, at, [row["rollout/ep_rew_mean"] for row in mine]))
    return stratified_bootstrap(np.array(values), seed=0)


def _row(name: str) -> str:
    check, found = CHECKS[name], found_in(RunFolder.open_(RUNS / name))
    what = "every seed" if check.every_seed else "IQM"
    seeds = ", ".join(f"{mean:.0f}" for mean in found.means)
    steps = f"{check.settings.recipe.total_steps:,}"
    wanted, verdict = "–", "–"
    if math.isfinite(check.threshold):
        wanted = f"{what} ≥ {check.threshold:g}"
        verdict = "yes" if check.passed(found) else "**no**"
    return f"| {name} | {steps} | {wanted} | {found.iqm} | {verdict} | {seeds} |"


def _comparison(title: str) -> list[str]:
    names, text = COMPARISONS[title]
    picture = IMAGES / f"{title.lower().replace(' ', '-')}.png"
    learning_curves([RUNS / name for name in names], picture, labels=names)
    figures = [
        f"| {name} | {return_at(RunFolder.open_(RUNS / name), COMPARED_AT)} |" for name in names
    ]
    return [
        f"## {title}",
        "",
        text,
        "",
        f"![{title}](images/{picture.name})",
        "",
        f"| | training return at {COMPARED_AT:,} steps, IQM with 95 % interval |",
        "|---|---|",
        *figures,
        "",
    ]


def write_page() -> None:
    """Write the table and the pictures; every check must have been run."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    lines = [INTRODUCTION, *map(_row, CHECKS), ""]
    for title in COMPARISONS:
        lines += _comparison(title)
    lines += [BASELINES, *baselines.report(), ""]
    lines += ["## Learning curves", "", "Each seed thin, the interquartile mean with its band.", ""]
    for name, check in CHECKS.items():
        reference = check.threshold if math.isfinite(check.threshold) else None
        learning_curves([RUNS / name], IMAGES / f"{name}.png", reference=reference)
        lines += [f"### {name}", "", f"![{name}](images/{name}.png)", ""]
    PAGE.write_text("\n".join(lines))


INTRODUCTION = f"""# Learning results

Every run here is {SEEDS} seeds, 0 to {SEEDS - 1}, none chosen, with the settings in `recipes/`;
on MinAtar it is 3 seeds.
The figure is the final policy's return: last parameters, the mode of the policy, 100 episodes a
seed on start states apart from training; then the interquartile mean over seeds with its 95 %
bootstrap interval.

Written by `.venv/bin/python -m experiments.learning`, which trains what `runs/learning` does not
hold yet (or the runs named as arguments, anew). `make learn` holds the table against its
thresholds.

| run | steps a seed | wanted | IQM [95 % interval] | reached | each seed |
|---|---|---|---|---|---|"""


BASELINES = f"""## Baselines

REINFORCE on CartPole-v1 with every baseline and nothing else changed, {baselines.SEEDS} seeds of
{baselines.STEPS:,} steps; and the scatter of each estimate for one and the same policy, untrained
and after {baselines.PART_TRAINED:,} steps: the sum over parameters of the variance of a batch's
gradient, 16 episodes a batch, {baselines.BATCHES} batches, the same for every baseline. Those that
remember had seen {baselines.WARM} other batches of that policy. The batch mean's gradient is
1 − 1/16 of leave-one-out's: it contains the return that it judges. The optimal ones are estimated
from the 15 other episodes (`python -m experiments.baselines`).
"""


def main() -> None:
    """Train what is named or missing, then write the page."""
    for name in sys.argv[1:]:
        validate.one_of("check", name, CHECKS)
    for name in CHECKS:
        train(name, anew=name in sys.argv[1:])
    write_page()


if __name__ == "__main__":
    prepare("auto", SEEDS)
    main()
