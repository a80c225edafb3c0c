"""PPO: its networks, its rollouts, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax
import jax.random as jr

from ..algorithms.ppo import PPO
from ..nn.actor_critic import AbstractActorCritic
from ..nn.build import Activation, Initialisation, Std
from ..sources.task import AbstractTask
from .ingredients import ANY_ACTIONS, Ingredients
from .rollouts import actor_critic


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPORecipe:
    """Proximal policy optimisation: on-policy, discrete or continuous actions."""

    action_spaces: ClassVar = ANY_ACTIONS

    algorithm: PPO = PPO()
    """Hyperparameters of the update."""
    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of policy and value function alike."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    shared_trunk: bool = False
    """Policy and value function share all layers but their last, convolutions included."""
    recurrent_size: int | None = None
    """Units of a GRU after layers that both share; it remembers the episode. None is no memory."""
    initialisation: Initialisation = "orthogonal"
    """Weights at first: orthogonal, the policy nearly uniform, or fan-in, uniform on ±1/√inputs."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    std: Std = "learned"
    """σ of a continuous policy: learned for all states, from the network by state, or fixed."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    normalise_reward: bool = False
    """Divide rewards by the deviation of the discounted return."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        ingredients = actor_critic(
            self,
            task,
            self.algorithm,
            discount=self.algorithm.discount,
            num_minibatches=self.algorithm.num_minibatches,
            shared_trunk=self.shared_trunk,
            recurrent_size=self.recurrent_size,
        )
        models = eqx.filter_eval_shape(ingredients.models, jr.key(0))
        self.check_sequences(models)
        return ingredients

    def check_sequences(self, models: AbstractActorCritic) -> None:
        """Raise `ValueError` unless rollouts can be cut as `sequence_length` says."""
        length, minibatches = self.algorithm.sequence_length, self.algorithm.num_minibatches
        if not jax.tree.leaves(models.initial_carry()):
            if length is None:
                return
            raise ValueError(
                f"`sequence_length` ({length}) is for networks that remember; these do not."
            )
        length = length or self.num_steps
        if self.num_steps % length:
            raise ValueError(
                f"`sequence_length` ({length}) must divide `num_steps` ({self.num_steps})."
            )
        sequences = self.num_envs * self.num_steps // length
        if sequences % minibatches:
            raise ValueError(
                f"`num_minibatches` ({minibatches}) must divide the sequences of a rollout, "
                f"num_envs × num_steps / sequence_length = {sequences}."
            )


# A board of 10 × 10 flattened: on a CPU convolutions take three times as long for the same step.
GAMES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
_MINATAR = PPORecipe(
    algorithm=PPO(learning_rate=5e-3, num_minibatches=8, entropy_coef=0.01, anneal_updates=1221),
    num_envs=64,
    activation="relu",
    conv_channels=(),
    total_steps=10_000_000,
)

TUNED: Mapping[str, PPORecipe] = {
    "CartPole-v1": PPORecipe(algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01), num_envs=4),
    # Policy and value share the memory: unless rewards are scaled down, the error of the value is
    # all that the gradient, whose norm is limited, has room for.
    "CartPolePositions-v1": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01),
        num_envs=32,
        hidden=(64,),
        recurrent_size=64,
        normalise_observation=True,
        normalise_reward=True,
        total_steps=1_000_000,
    ),
    "Acrobot-v1": PPORecipe(algorithm=PPO(entropy_coef=0.01)),
    # The reward's scale is far from one here, and late in training the step must shrink: without
    # annealing the divergence grows as σ falls, and seeds come apart.
    "Pendulum-v1": PPORecipe(
        algorithm=PPO(
            learning_rate=1e-3, discount=0.9, num_epochs=10, num_minibatches=32, anneal_updates=147
        ),
        num_envs=4,
        num_steps=512,
        normalise_reward=True,
        total_steps=300_000,
    ),
    "TMaze-v0": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01),
        num_envs=64,
        hidden=(64,),
        recurrent_size=64,
        normalise_reward=True,
        total_steps=2_000_000,
    ),
    **{f"MinAtar/{game}-v1": _MINATAR for game in GAMES},
    # Falls teach to stay away from the cliff long before the goal is found beyond it: only a strong
    # entropy bonus, against rewards of deviation one, goes on exploring.
    "tabular:CliffWalking-v1": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.2),
        num_envs=16,
        normalise_reward=True,
        total_steps=150_000,
    ),
}
