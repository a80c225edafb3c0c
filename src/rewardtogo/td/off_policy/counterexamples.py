"""What to learn off-policy in a problem, by its name."""

import numpy as np

from ...tabular.problems.counterexamples import (
    BAIRD_BEHAVIOUR,
    BAIRD_FEATURES,
    BAIRD_TARGET,
    BAIRD_WEIGHTS,
)
from ...tabular.problems.problem import Problem
from ...tabular.solvers.optimal import answer
from .exact import OffPolicyCase


def off_policy_case(problem: Problem) -> OffPolicyCase:
    """Baird's policies, features and first weights for "Baird".

    For any other problem: the values of its optimal policy, from actions that are all equally
    likely, with a feature for each state and from 0; nothing can diverge there.

    **Raises:** `ValueError` as `answer`.
    """
    mdp = problem.mdp
    if problem.name == "Baird":
        return OffPolicyCase(
            mdp=mdp,
            features=BAIRD_FEATURES,
            target=BAIRD_TARGET,
            behaviour=BAIRD_BEHAVIOUR,
            initial_weights=BAIRD_WEIGHTS,
        )
    return OffPolicyCase(
        mdp=mdp,
        features=np.eye(mdp.num_states),
        target=np.eye(mdp.num_actions)[answer(mdp).policy],
        behaviour=np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions),
    )
