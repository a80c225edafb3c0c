"""What a run of each algorithm is made of, and the defaults tuned for each environment.

A recipe is an algorithm's hyperparameters together with its networks and its source of batches;
every field is a flag of `rtg train`. `TUNED` at the end is the table of settings by environment.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from . import validate
from .algorithms.dqn import DQN
from .algorithms.normalised import Normalised
from .algorithms.ppo import PPO, ActorCritic
from .algorithms.protocol import AnyAlgorithm
from .algorithms.reinforce import REINFORCE, Baseline
from .algorithms.sac import SAC, ActorTwinCritic
from .nn.build import Activation, Architecture
from .nn.policies import Explorer
from .sources.protocol import AbstractSource
from .sources.replay import Replay
from .types import Scalar
from .worlds import AbstractWorld


class Ingredients(NamedTuple):
    """What `build_program` is given."""

    algorithm: AnyAlgorithm
    source: AbstractSource
    models: Callable[[PRNGKeyArray], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPORecipe:
    """Proximal policy optimisation: on-policy, discrete or continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete, gym.spaces.Box)

    algorithm: PPO = PPO()
    """Hyperparameters of the update."""
    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of policy and value function alike."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    normalise_reward: bool = False
    """Divide rewards by the deviation of the discounted return."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        validate.count("num_envs", self.num_envs)
        validate.count("num_steps", self.num_steps)
        validate.in_interval("initial_log_std", self.initial_log_std, -20.0, 5.0)
        size = self.num_envs * self.num_steps
        if size % self.algorithm.num_minibatches:
            raise ValueError(
                f"`num_minibatches` ({self.algorithm.num_minibatches}) must divide num_envs × "
                f"num_steps = {size}."
            )
        nets = architecture(world, self.hidden, self.activation)
        algorithm = normalised(
            self.algorithm,
            world,
            num_envs=self.num_envs,
            observations=self.normalise_observation,
            rewards=self.normalise_reward,
            discount=self.algorithm.discount,
        )

        def models(key: PRNGKeyArray) -> ActorCritic:
            actor_key, critic_key = jr.split(key)
            actor = nets.actor(actor_key, log_std=self.initial_log_std)
            return ActorCritic(actor, nets.state_value(critic_key))

        return Ingredients(algorithm, world.rollout(self.num_envs, self.num_steps), models)


@dataclasses.dataclass(frozen=True, kw_only=True)
class REINFORCERecipe:
    """REINFORCE: on-policy, whole episodes, discrete or continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete, gym.spaces.Box)

    algorithm: REINFORCE = REINFORCE()
    """Hyperparameters of the update."""
    num_episodes: int = 16
    """Episodes in a batch."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None is the environment's own limit."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        leave_one_out = self.algorithm.baseline is Baseline.LEAVE_ONE_OUT
        validate.count("num_episodes", self.num_episodes, least=2 if leave_one_out else 1)
        validate.in_interval("initial_log_std", self.initial_log_std, -20.0, 5.0)
        max_steps = self.max_episode_steps or world.max_steps
        if max_steps is None:
            raise ValueError(
                f"{world.name} has no limit on an episode's steps; set `max_episode_steps`."
            )
        validate.count("max_episode_steps", max_steps)
        nets = architecture(world, self.hidden, self.activation)
        models = lambda key: nets.actor(key, log_std=self.initial_log_std)
        return Ingredients(self.algorithm, world.episodes(self.num_episodes, max_steps), models)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNRecipe:
    """Deep Q-learning: off-policy, discrete actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete,)

    algorithm: DQN = DQN()
    """Hyperparameters of the update."""
    num_envs: int = 4
    """Environments stepped side by side, for each seed."""
    num_steps: int = 4
    """Steps of each environment from one round of updates to the next."""
    num_updates: int = 4
    """Updates in a round, each on a fresh minibatch."""
    batch_size: int = 64
    """Steps in a minibatch."""
    buffer_size: int = 100_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 1_000
    """Steps taken at random before the first update."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    activation: Activation = "relu"
    """Nonlinearity between layers."""
    normalise_observation: bool = False
    """Give the network observations of mean 0 and deviation 1."""
    total_steps: int = 100_000
    """Environment steps of each seed, warm-up included, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        require_actions("DQN", world, self.action_spaces)
        source = replay(self, world)
        nets = architecture(world, self.hidden, self.activation)
        algorithm = normalised(
            self.algorithm,
            world,
            num_envs=self.num_envs,
            observations=self.normalise_observation,
            rewards=False,
            discount=self.algorithm.discount,
        )
        return Ingredients(algorithm, source, nets.action_values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACRecipe:
    """Soft actor–critic: off-policy, continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Box,)

    algorithm: SAC = SAC()
    """Hyperparameters of the update."""
    num_envs: int = 1
    """Environments stepped side by side, for each seed."""
    num_steps: int = 1
    """Steps of each environment from one round of updates to the next."""
    num_updates: int = 1
    """Updates in a round, each on a fresh minibatch."""
    batch_size: int = 256
    """Steps in a minibatch."""
    buffer_size: int = 1_000_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 1_000
    """Steps taken at random before the first update."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers, of policy and value functions alike."""
    activation: Activation = "relu"
    """Nonlinearity between layers."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    total_steps: int = 100_000
    """Environment steps of each seed, warm-up included, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        require_actions("SAC", world, self.action_spaces)
        source = replay(self, world)
        nets = architecture(world, self.hidden, self.activation)
        algorithm = normalised(
            self.algorithm,
            world,
            num_envs=self.num_envs,
            observations=self.normalise_observation,
            rewards=False,
            discount=self.algorithm.discount,
        )

        def models(key: PRNGKeyArray) -> ActorTwinCritic:
            actor_key, critic_key = jr.split(key)
            return ActorTwinCritic(nets.squashed_actor(actor_key), nets.twin_values(critic_key))

        return Ingredients(algorithm, source, models)


Recipe = PPORecipe | REINFORCERecipe | DQNRecipe | SACRecipe

RECIPES: dict[str, type[Recipe]] = {
    "dqn": DQNRecipe,
    "ppo": PPORecipe,
    "reinforce": REINFORCERecipe,
    "sac": SACRecipe,
}


def architecture(
    world: AbstractWorld, hidden: tuple[int, ...], activation: Activation
) -> Architecture:
    """Networks that fit the environment."""
    return Architecture(world.observation_space, world.action_space, hidden, activation)


def normalised(
    algorithm: AnyAlgorithm,
    world: AbstractWorld,
    *,
    num_envs: int,
    observations: bool,
    rewards: bool,
    discount: Scalar,
) -> AnyAlgorithm:
    """`algorithm`, inside `Normalised` where anything is to be normalised."""
    if not (observations or rewards):
        return algorithm
    space = world.observation_space
    if observations and not isinstance(space, gym.spaces.Box):
        raise ValueError(f"`normalise_observation` needs a box of observations; got {space}.")
    return Normalised(
        algorithm,
        observation_shape=space.shape or (),
        num_envs=num_envs,
        observations=observations,
        rewards=rewards,
        discount=discount,
    )


def require_actions(
    algorithm: str, world: AbstractWorld, kinds: tuple[type[gym.Space], ...]
) -> None:
    """Raise `ValueError` unless the actions are of a kind that the algorithm takes."""
    if not isinstance(world.action_space, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{algorithm} needs a {names} action space; {world.name} has {world.raw_action_space}."
        )


def replay(recipe: DQNRecipe | SACRecipe, world: AbstractWorld) -> Replay:
    """The replay source of an off-policy recipe."""
    for name in ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size"):
        validate.count(name, getattr(recipe, name))
    validate.count("learning_starts", recipe.learning_starts)
    if recipe.buffer_size < recipe.learning_starts:
        raise ValueError(
            f"`learning_starts` ({recipe.learning_starts}) must fit into `buffer_size` "
            f"({recipe.buffer_size})."
        )
    gather = recipe.num_envs * recipe.num_steps
    if recipe.total_steps < recipe.learning_starts + gather:
        raise ValueError(
            f"`total_steps` ({recipe.total_steps}) must exceed `learning_starts` "
            f"({recipe.learning_starts}) by at least num_envs × num_steps = {gather}."
        )
    actions, observations = world.action_space, world.observation_space
    discrete = isinstance(actions, gym.spaces.Discrete)
    explorer = Explorer(
        int(actions.n) if discrete else None,
        0 if discrete else (actions.shape or (1,))[0],
        len(observations.shape or ()),
    )
    return Replay(
        world.rollout(recipe.num_envs, recipe.num_steps),
        explorer,
        recipe.buffer_size,
        recipe.batch_size,
        recipe.num_updates,
        recipe.learning_starts,
    )


TUNED: Mapping[tuple[str, str], Recipe] = {
    ("ppo", "CartPole-v1"): PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01), num_envs=4
    ),
    ("ppo", "Acrobot-v1"): PPORecipe(algorithm=PPO(entropy_coef=0.01)),
    # The reward's scale is far from one here, and late in training the step must shrink: without
    # annealing the divergence grows as σ falls, and seeds come apart.
    ("ppo", "Pendulum-v1"): PPORecipe(
        algorithm=PPO(
            learning_rate=1e-3, discount=0.9, num_epochs=10, num_minibatches=32, anneal_updates=147
        ),
        num_envs=4,
        num_steps=512,
        normalise_reward=True,
        total_steps=300_000,
    ),
    # Falls teach to stay away from the cliff long before the goal is found beyond it: only a strong
    # entropy bonus, against rewards of deviation one, goes on exploring.
    ("ppo", "tabular:CliffWalking-v1"): PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.2),
        num_envs=16,
        normalise_reward=True,
        total_steps=150_000,
    ),
    ("reinforce", "tabular:FrozenLake-v1"): REINFORCERecipe(algorithm=REINFORCE(entropy_coef=0.01)),
    # A fall is rare and worth −100: with the usual δ = 1 the Huber loss holds such an error for an
    # outlier, values beyond the track's edge stay above 1/(1−γ), and the cart rolls off.
    ("dqn", "CartPole-v1"): DQNRecipe(
        algorithm=DQN(
            target_period=128,
            epsilon_updates=4_000,
            epsilon_end=0.04,
            huber_delta=100.0,
            anneal_updates=50_000,
        ),
        num_envs=1,
        num_steps=256,
        num_updates=128,
        normalise_observation=True,
    ),
    ("sac", "Pendulum-v1"): SACRecipe(
        algorithm=SAC(learning_rate=1e-3), buffer_size=20_000, total_steps=20_000
    ),
}


def default_recipe(algorithm: str, environment: str) -> Recipe:
    """The tuned settings for this pair, or the algorithm's general ones."""
    validate.one_of("algorithm", algorithm, RECIPES)
    return TUNED.get((algorithm, environment), RECIPES[algorithm]())
