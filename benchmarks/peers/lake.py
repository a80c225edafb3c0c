"""The work of the Q-learning benchmark: FrozenLake8x8-v1 of Gymnasium, constant step size."""

import gymnasium as gym
import numpy as np


DISCOUNT, EPSILON, STEP_SIZE, LIMIT = 0.99, 0.1, 0.1, 200


def tables() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probability, successor and reward `[state, action, outcome]`; which states are terminal."""
    published = gym.make("FrozenLake8x8-v1").unwrapped.P  # pyright: ignore[reportAttributeAccessIssue]
    num_states, num_actions, most = len(published), len(published[0]), 3
    probability = np.zeros((num_states, num_actions, most), np.float32)
    successor = np.zeros((num_states, num_actions, most), np.int32)
    reward = np.zeros((num_states, num_actions, most), np.float32)
    terminal = np.zeros(num_states, bool)
    for state, actions in published.items():
        for action, outcomes in actions.items():
            for i, (chance, following, paid, ended) in enumerate(outcomes):
                probability[state, action, i] = chance
                successor[state, action, i] = following
                reward[state, action, i] = paid
                terminal[following] |= ended
    return probability, successor, reward, terminal
