"""Ways to explore, named once for the command line, for tables and for networks."""

import enum


class Exploration(enum.Enum):
    """How actions are chosen, given Q(s, ·)."""

    EPSILON_GREEDY = "epsilon-greedy"
    BOLTZMANN = "boltzmann"
