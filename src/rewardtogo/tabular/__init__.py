"""What is true? Small Markov decision processes, solved exactly, in float64."""

from .empirical import empirical_mdp as empirical_mdp
from .mdp import TabularMDP as TabularMDP, tabular_mdp as tabular_mdp
from .problems.catalogue import problem as problem
from .problems.garnet import garnet as garnet
from .problems.problem import Change as Change, Problem as Problem
from .solvers.solution import Certificate as Certificate, Solution as Solution
from .solvers.solve import Method as Method, solve as solve
from .successors import (
    SuccessorMDP as SuccessorMDP,
    mdp_from_outcomes as mdp_from_outcomes,
    successor_mdp as successor_mdp,
)
