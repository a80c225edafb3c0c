"""A run as a user's script has it: recipe, environment, program, and `train` again and again."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from rewardtogo import build_program, make_task, train
from rewardtogo.devices import prepare
from rewardtogo.recipes import ActingRecipe
from rewardtogo.runs.settings import to_json
from rewardtogo.sources.task import Backend
from rewardtogo.training.loop import TrainState


PACKAGES = ["rewardtogo", "jax", "equinox", "optax", "gymnasium"]


class Run:
    """Training with all seeds together; make one only, and before the first array."""

    def __init__(
        self,
        environment: str,
        recipe: ActingRecipe,
        *,
        num_seeds: int = 1,
        backend: Backend = "auto",
        env_args: Mapping[str, Any] = {},
    ) -> None:
        prepare("cpu", num_seeds)
        # The command's own watchdog over host environments, so that its cost is measured too.
        task = make_task(
            environment,
            num_seeds=num_seeds,
            run_seed=0,
            backend=backend,
            env_args=env_args,
            timeout=60.0,
        )
        loop = recipe.build(task)
        keys = jax.vmap(jr.key)(jnp.arange(num_seeds, dtype=jnp.uint32))
        self.program = build_program(loop, keys=keys)
        self.settings = {
            "seeds": num_seeds,
            "devices": jax.local_device_count(),
            "XLA_FLAGS": os.environ["XLA_FLAGS"],
            "env_args": dict(env_args),
            "recipe": to_json(recipe),
        }
        self._steps = 0
        self._reached: tuple[int, TrainState] | None = None

    def restart(self) -> None:
        """Begin again with fresh networks and environments."""
        self._steps, self._reached = 0, None

    def train(self, steps: int) -> int:
        """Train every seed for `steps` more, and wait; environment steps of all seeds together."""
        before, total = self._steps, 0
        reports = train(
            self.program,
            total_steps=self._steps + steps,
            report_every=steps,
            start=self._reached,
        )
        for report in reports:
            self._steps, total = int(report.progress.min()), int(report.progress.sum())
            self._reached = (report.iteration, jax.block_until_ready(report.state))
        return total - before * len(report.progress)
