"""How much does each form of REINFORCE's estimate scatter, for one and the same policy?

All forms see the same batches, so that their figures can be compared. `experiments.learning` puts
the table into `docs/learning.md`.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from rewardtogo.algorithms.reinforce import REINFORCE, Baseline
from rewardtogo.nn.policies import EntropicPolicy, Sampled
from rewardtogo.recipes import REINFORCERecipe
from rewardtogo.sources.episodes import Episodes
from rewardtogo.train import build_program, train
from rewardtogo.worlds import make_world


FORMS: dict[str, REINFORCE] = {
    "full return": REINFORCE(causality=False, baseline=Baseline.NONE),
    "causal": REINFORCE(baseline=Baseline.NONE),
    "causal, batch mean": REINFORCE(baseline=Baseline.BATCH_MEAN),
    "causal, leave-one-out": REINFORCE(baseline=Baseline.LEAVE_ONE_OUT),
}
EPISODES, BATCHES, MAX_STEPS = 16, 300, 500


class Scatter(NamedTuple):
    """Of one form: Σ_j Var[g_j] of a batch's gradient, and the norm of the mean gradient."""

    variance: float
    mean_norm: float


def scatter(policy: EntropicPolicy, key: Key[Array, ""]) -> dict[str, Scatter]:
    """Measure every form on the same `BATCHES` batches of `EPISODES` episodes of CartPole-v1."""
    env = make_world("CartPole-v1", num_seeds=1, run_seed=0).rollout(1, 1).env  # pyright: ignore
    source = Episodes(env, EPISODES, MAX_STEPS)
    behaviour = Sampled(policy)

    def gradients(key: Key[Array, ""]) -> Float[Array, "form parameter"]:
        init_key, gather_key = jr.split(key)
        state = source.init(behaviour, key=init_key)
        _, batch = source.gather(state, behaviour, key=gather_key)

        def gradient(form: REINFORCE) -> Float[Array, " parameter"]:
            loss = lambda policy: form.loss(policy, batch, form.weights(form.init(policy), batch))[
                0
            ]
            return -ravel_pytree(eqx.filter(eqx.filter_grad(loss)(policy), eqx.is_array))[0]

        return jnp.stack([gradient(form) for form in FORMS.values()])

    samples = np.asarray(jax.jit(lambda keys: jax.lax.map(gradients, keys))(jr.split(key, BATCHES)))
    samples = samples.astype(np.float64)  # [batch, form, parameter]
    variance = samples.var(axis=0, ddof=1).sum(axis=-1)
    norm = np.linalg.norm(samples.mean(axis=0), axis=-1)
    rows = zip(FORMS, variance, norm, strict=True)
    return {name: Scatter(float(v), float(n)) for name, v, n in rows}


def trained_policy(total_steps: int) -> EntropicPolicy:
    """CartPole's policy after so many steps of REINFORCE; untrained for 0."""
    recipe = dataclasses.replace(REINFORCERecipe(), total_steps=max(total_steps, 1))
    ingredients = recipe.build(make_world("CartPole-v1", num_seeds=1, run_seed=0))
    if total_steps == 0:
        return ingredients.models(jr.key(0))
    program = build_program(*ingredients, keys=jr.key(0)[None])
    reports = train(program, ingredients.source, total_steps=total_steps, report_every=total_steps)
    *_, last = reports
    policy = jax.tree.map(lambda x: x[0], last.state.algorithm.learner.model)
    return policy


def table() -> list[str]:
    """Rows in Markdown, for an untrained policy and one after 50,000 steps."""
    before, after = (scatter(trained_policy(steps), jr.key(1)) for steps in (0, 50_000))
    rows = [
        f"| {name} | {before[name].variance:,.0f} | {before[name].mean_norm:.1f} "
        f"| {after[name].variance:,.0f} | {after[name].mean_norm:.1f} |"
        for name in FORMS
    ]
    return [
        "| estimate | variance, untrained | norm of mean | variance, trained | norm of mean |",
        "|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    print("\n".join(table()))
