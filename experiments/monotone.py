"""Exact policy improvement with its lower bound: `python -m experiments.monotone`.

Monotone policy iteration maximises the bound J ≥ L - C max KL of Schulman et al. (2015) at every
step; steps of a trust region ask for L only. Both are computed exactly on a random MDP, and drawn
into `docs/images/monotone.png`.
"""

from pathlib import Path

import jax
import jax.random as jr
import numpy as np
from scipy.special import softmax

from rewardtogo.figures import new_figure, save_figure
from rewardtogo.tabular.exact.evaluation import expected_return
from rewardtogo.tabular.exact.trust_region import (
    exact_trpo_step,
    lower_bound,
    monotone_policy_iteration,
)
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.solvers.solve import solve


PICTURE = Path(__file__).parents[1] / "docs" / "images" / "monotone.png"
STEPS, MAX_KL = 60, 0.02


def main() -> None:
    mdp = garnet(num_states=10, num_actions=3, discount=0.5, key=jr.key(0))
    theta = np.zeros((10, 3))
    optimum = float(mdp.initial @ solve(mdp).values)
    monotone = monotone_policy_iteration(mdp, jax.nn.softmax, theta, steps=STEPS)
    returns, bounds = _trust_region(mdp, theta)
    drawing = new_figure((7.2, 4.4))
    axes = drawing.add_subplot()
    steps = np.arange(STEPS + 1)
    lines = (("penalty", monotone.returns, monotone.bounds, "#0072B2"),)
    lines += ((f"trust region, mean KL ≤ {MAX_KL:g}", returns, bounds, "#D55E00"),)
    for name, true, bound, colour in lines:
        axes.plot(steps, true, color=colour, label=f"J, {name}")
        axes.plot(steps[1:], bound, color=colour, linestyle=":", label="its bound from below")
    axes.axhline(optimum, color="0.35", linestyle="--", linewidth=1, label="optimum")
    axes.set_ylim(float(monotone.returns[0]) - 0.3, optimum + 0.1)
    axes.set_xlabel("steps")
    axes.set_ylabel("J")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    save_figure(drawing, PICTURE)


def _trust_region(mdp, theta) -> tuple[list[float], list[float]]:
    returns, bounds = [float(expected_return(mdp, jax.nn.softmax(theta)))], []
    for _ in range(STEPS):
        new = exact_trpo_step(mdp, jax.nn.softmax, theta, max_kl=MAX_KL).theta
        old, policy = (softmax(np.asarray(x), axis=1) for x in (theta, new))
        bounds.append(float(lower_bound(mdp, old, policy).kl))
        returns.append(float(expected_return(mdp, policy)))
        theta = new
    return returns, bounds


if __name__ == "__main__":
    main()
