"""What each baseline of REINFORCE is worth on CartPole-v1: learning curves, gradient variance.

`python -m experiments.baselines` trains what `runs/baselines` does not hold yet, draws
`docs/images/reinforce-baselines.png` and prints the table that `experiments.learning` puts into
`docs/learning.md`. Variances are of one and the same policy, on the same batches for every
baseline; those that remember have seen `WARM` other batches of that policy before.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from rewardtogo._scan import filter_scan
from rewardtogo.algorithms.reinforce import REINFORCE, Baseline, REINFORCEState
from rewardtogo.algorithms.reinforce_baselines import WithBaseline
from rewardtogo.devices import prepare
from rewardtogo.figures import new_figure, save_figure
from rewardtogo.files import read_json
from rewardtogo.nn.policies import EntropicPolicy, SamplingBehaviour
from rewardtogo.recipes import REINFORCERecipe
from rewardtogo.runs.evaluation import evaluation_from_json
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.learning_curves import TRAINED
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.sources.collectors.episodes import Episodes
from rewardtogo.sources.task import make_task
from rewardtogo.statistics import CurveBand, curve_band
from rewardtogo.training.loop import Loop
from rewardtogo.training.train import build_program, train
from rewardtogo.types import EpisodeBatch


if TYPE_CHECKING:
    from matplotlib.axes import Axes


ENVIRONMENT, SEEDS, STEPS = "CartPole-v1", 10, 100_000
RUNS, PICTURE = Path("runs/baselines"), Path("docs/images/reinforce-baselines.png")
BATCHES, WARM, PART_TRAINED = 100, 50, 20_000
# Okabe and Ito (2008), and a grey.
COLOURS = dict(
    zip(
        Baseline,
        (
            *("#999999", "#56B4E9", "#0072B2", "#E69F00", "#D55E00"),
            *("#000000", "#009E73", "#CC79A7", "#8B6914"),
        ),
        strict=True,
    )
)


def recipe(baseline: Baseline, *, total_steps: int = STEPS) -> REINFORCERecipe:
    """REINFORCE's general settings but for the baseline."""
    return REINFORCERecipe(algorithm=REINFORCE(baseline=baseline), total_steps=total_steps)


def run(baseline: Baseline) -> RunFolder:
    """The finished run of a baseline, trained where there is none."""
    path = RUNS / baseline.value
    settings = Settings(recipe(baseline), ENVIRONMENT, RunSettings(seeds=SEEDS))
    fit_settings(settings, run_dir=path, resume=path.exists())
    return RunFolder.open_(path)


class Scatter(NamedTuple):
    """Of one form: Σ_j Var[g_j] of a batch's gradient, and the norm of the mean gradient."""

    variance: float
    mean_norm: float


FORMS = {
    "none, full return": REINFORCE(causality=False, baseline=Baseline.NONE),
    **{baseline.value: REINFORCE(baseline=baseline) for baseline in Baseline},
}


def _built(algorithm: REINFORCE) -> Loop:
    return dataclasses.replace(REINFORCERecipe(), algorithm=algorithm).build(
        make_task(ENVIRONMENT, num_seeds=1, run_seed=0)
    )


def scatter(policy: EntropicPolicy, key: Key[Array, ""]) -> dict[str, Scatter]:
    """Measure every form on the same `BATCHES` batches of one policy."""
    source = _built(REINFORCE()).source.collector
    assert isinstance(source, Episodes)
    behaviour = SamplingBehaviour(policy)

    def gathered(key: Key[Array, ""]) -> EpisodeBatch:
        init_key, gather_key = jr.split(key)
        return source.gather(source.init(behaviour, key=init_key), behaviour, key=gather_key)[1]

    warm_key, key = jr.split(key)
    states = [_warm(form, policy, gathered, warm_key) for form in FORMS.values()]

    def gradients(key: Key[Array, ""]) -> Float[Array, "form parameter"]:
        batch = gathered(key)
        pairs = zip(FORMS.values(), states, strict=True)
        return jnp.stack([ravel_pytree(f.gradient(state, batch)[0])[0] for f, state in pairs])

    samples = np.asarray(jax.jit(lambda keys: jax.lax.map(gradients, keys))(jr.split(key, BATCHES)))
    samples = samples.astype(np.float64)  # [batch, form, parameter]
    variance = samples.var(axis=0, ddof=1).sum(axis=-1)
    norm = np.linalg.norm(samples.mean(axis=0), axis=-1)
    rows = zip(FORMS, variance, norm, strict=True)
    return {name: Scatter(float(v), float(n)) for name, v, n in rows}


def _warm(form: REINFORCE, policy: EntropicPolicy, gathered, key: Key[Array, ""]) -> REINFORCEState:
    """What the baseline remembers once it has seen batches of this policy."""
    models = _built(form).models(jr.key(0))
    given = WithBaseline(policy, models.baseline) if isinstance(models, WithBaseline) else policy
    state = form.init(given)
    if not jax.tree.leaves(eqx.filter(state.baseline, eqx.is_array)):
        return state
    see = lambda memory, key: (form.rule.learn(memory, form.outcome(gathered(key))), None)
    seen = eqx.filter_jit(lambda memory, keys: filter_scan(see, memory, keys)[0])
    return REINFORCEState(state.trainable, seen(state.baseline, jr.split(key, WARM)))


def policy_after(total_steps: int) -> EntropicPolicy:
    """CartPole's policy after so many steps of REINFORCE; untrained for 0."""
    loop = _built(REINFORCE())
    if total_steps == 0:
        return loop.models(jr.key(0))
    program = build_program(loop, keys=jr.key(0)[None])
    reports = train(program, total_steps=total_steps, report_every=total_steps)
    *_, last = reports
    return jax.tree.map(lambda x: x[0], last.state.learner.trainable.model)


def curve(folder: RunFolder) -> CurveBand:
    """The training return of a run's seeds."""
    rows = [row for row in read_rows(folder.metrics) if row.get(TRAINED) is not None]
    mine = [[row for row in rows if row["seed"] == seed] for seed in range(SEEDS)]
    steps = [[row["time/total_timesteps"] for row in own] for own in mine]
    return curve_band(steps, [[row[TRAINED] for row in own] for own in mine])


def draw(curves: dict[Baseline, CurveBand], measured: list[dict[str, Scatter]]) -> None:
    """Learning curves on the left, what the estimates scatter by on the right."""
    drawing = new_figure((11, 4.8))
    left, right = drawing.subplots(1, 2, width_ratios=(3, 2))
    _draw_curves(left, curves)
    names = list(measured[0])[::-1]
    for scatters, label, marker in zip(
        measured, ("untrained", f"after {PART_TRAINED:,} steps"), "od", strict=True
    ):
        style = {"marker": marker, "linestyle": "none", "label": label}
        right.plot([scatters[name].variance for name in names], names, color="#0072B2", **style)
        right.lines[-1].set_markerfacecolor("none" if marker == "o" else "#0072B2")
    right.set_xscale("log")
    right.set_title("Variance of the gradient", loc="left", fontweight="bold")
    right.set_xlabel("Σ_j Var of a batch's gradient")
    right.grid(axis="both", color="0.92", linewidth=0.8)
    right.legend(frameon=False, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.13))
    for axes in (left, right):
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(drawing, PICTURE)


def _draw_curves(axes: "Axes", curves: dict[Baseline, CurveBand]) -> None:
    for baseline, band in curves.items():
        colour = COLOURS[baseline]
        axes.plot(band.steps / 1000, band.center, color=colour, label=baseline.value)
        if band.low is not None and band.high is not None:
            axes.fill_between(
                band.steps / 1000, band.low, band.high, color=colour, alpha=0.12, linewidth=0
            )
    axes.set_title(f"REINFORCE on {ENVIRONMENT}", loc="left", fontweight="bold")
    axes.set_xlabel("thousand environment steps per seed")
    axes.set_ylabel(f"training return, IQM of {SEEDS} seeds, 95 % interval")
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.legend(frameon=False, fontsize="small", loc="upper left")


def report() -> list[str]:
    """Train what is missing, draw the picture; the table in Markdown."""
    folders = {baseline: run(baseline) for baseline in Baseline}
    curves = {baseline: curve(folder) for baseline, folder in folders.items()}
    measured = [scatter(policy_after(steps), jr.key(1)) for steps in (0, PART_TRAINED)]
    draw(curves, measured)
    found = {b.value: evaluation_from_json(read_json(f.evaluation)) for b, f in folders.items()}
    area = {b.value: f"{np.mean(band.center):.0f}" for b, band in curves.items()}
    before, after = measured
    rows = [
        f"| {name} | {before[name].variance:,.0f} | {before[name].mean_norm:.1f} "
        f"| {after[name].variance:,.0f} | {after[name].mean_norm:.1f} "
        f"| {area.get(name, '–')} | {found[name].iqm if name in found else '–'} |"
        for name in FORMS
    ]
    return [
        f"![Learning curves and variance of every baseline](images/{PICTURE.name})",
        "",
        "| baseline | variance, untrained | norm of mean | variance, part-trained | norm of mean "
        "| mean of the curve | final return, IQM with 95 % interval |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    prepare("auto", SEEDS)
    print("\n".join(report()))
