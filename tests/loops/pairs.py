"""One small training problem for each algorithm, on either side, everything in float64."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.algorithms.a2c import A2C
from rewardtogo.algorithms.actor_critic import OneStepActorCritic
from rewardtogo.algorithms.ddpg import DDPG
from rewardtogo.algorithms.deterministic import DeterministicActorCritic
from rewardtogo.algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from rewardtogo.algorithms.dpg import DPG, DPGModels, NextAction
from rewardtogo.algorithms.dqn import DQN
from rewardtogo.algorithms.normalised import Normalised
from rewardtogo.algorithms.npg import NPG
from rewardtogo.algorithms.off_policy_pg import OffPolicyPG
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.algorithms.reinforce import REINFORCE
from rewardtogo.algorithms.sac import SAC, ActorTwinCritic
from rewardtogo.algorithms.sac_v import SACV, ActorTwinCriticValue
from rewardtogo.algorithms.td3 import TD3
from rewardtogo.algorithms.trpo import TRPO
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.classic.pendulum import Pendulum
from rewardtogo.envs.wrappers import ScaledActions, TimeLimit
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.deterministic import action_value, deterministic_actor
from rewardtogo.nn.encoders import encoder
from rewardtogo.nn.policies import CategoricalPolicy, UniformBehaviour
from rewardtogo.nn.polynomial import PolynomialEncoder
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.buffers.prioritised import PrioritisedReplay
from rewardtogo.sources.buffers.replay import Replay
from rewardtogo.sources.collectors.episodes import Episodes
from rewardtogo.sources.collectors.host import HostEpisodes, HostRollout
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.protocol import Source, Warmup
from rewardtogo.training.loop import ENVIRONMENTS, Loop
from rewardtogo.training.train import build_program
from sources.as_gym import pool_of


REPLAYED = ["dqn", "dqn-prioritised", "discrete-sac", "sac", "sac-v", "ddpg", "td3"]
CONTINUOUS = ["dpg", "sac", "sac-v", "ddpg", "td3"]
EPISODIC = ["reinforce", "off-policy-pg"]
ALGORITHMS = ["ppo", "a2c", "npg", "trpo", "actor-critic", "dpg", *EPISODIC, *REPLAYED]
NUM_ENVS, NUM_STEPS, MAX_STEPS = 3, 8, 14
KEYS = jr.split(jr.key(21), 2)
EVER = 10**6


@dataclasses.dataclass
class Problem:
    """An algorithm and its models, and a source of its batches in JAX or on the host."""

    name: str
    dtype: str = "float64"

    @property
    def inner_env(self):
        """CartPole ends and is cut in turn, Pendulum is only cut."""
        env = Pendulum if self.name in CONTINUOUS else CartPole
        return TimeLimit(env(dtype=self.dtype), MAX_STEPS)

    @property
    def env(self):
        return ScaledActions(self.inner_env) if self.name in CONTINUOUS else self.inner_env

    @property
    def algorithm(self):
        """PPO is normalised, so that the statistics are compared as well."""
        ppo = PPO(num_epochs=2, num_minibatches=3, learning_rate=1e-2, anneal_updates=20)
        shape, dtype = self.env.observation_space.shape or (), jnp.dtype(self.dtype)
        normalised = {"observations": True, "rewards": True, "discount": 0.9, "dtype": dtype}
        return {
            "ppo": Normalised(ppo, observation_shape=shape, num_envs=NUM_ENVS, **normalised),
            "a2c": A2C(learning_rate=1e-2),
            "npg": NPG(num_epochs=2, num_minibatches=3),
            "trpo": TRPO(num_epochs=2, num_minibatches=3),
            "reinforce": REINFORCE(learning_rate=1e-2),
            "off-policy-pg": OffPolicyPG(learning_rate=1e-2, num_epochs=3),
            "actor-critic": OneStepActorCritic(learning_rate=1e-2, discount=0.8),
            "dqn": DQN(learning_rate=1e-2, target_period=3, double=True, epsilon_updates=10),
            "dqn-prioritised": Normalised(
                DQN(learning_rate=1e-2, target_period=3, epsilon_updates=10, discount=0.9),
                observation_shape=shape,
                num_envs=NUM_ENVS,
                observations=True,
                rewards=False,
                discount=0.9,
                dtype=dtype,
            ),
            "discrete-sac": DiscreteSAC(learning_rate=1e-2, polyak_rate=0.1),
            "sac": SAC(learning_rate=1e-2, polyak_rate=0.1),
            "dpg": DPG(next_action=NextAction.TAKEN),
            "sac-v": SACV(learning_rate=1e-2, polyak_rate=0.1),
            "ddpg": DDPG(learning_rate=1e-2, polyak_rate=0.1),
            "td3": TD3(learning_rate=1e-2, polyak_rate=0.1),
        }[self.name]

    def models(self, key):
        spaces = self.env.observation_space, self.env.action_space
        nets = Architecture(*spaces, (5,), "tanh", jnp.dtype(self.dtype))
        one, two, three = jr.split(key, 3)
        match self.name:
            case "ppo" | "a2c" | "npg" | "trpo" | "actor-critic":
                return ActorCritic(nets.actor(one, log_std=0.0), nets.state_value(two))
            case "reinforce" | "off-policy-pg":
                return nets.actor(one, log_std=0.0)
            case "dqn" | "dqn-prioritised":
                return nets.action_values(one)
            case "discrete-sac":
                head = nets.action_values(one)
                actor = CategoricalPolicy(head.encoder, head.values)
                return CategoricalTwinCritic(actor, nets.twin_action_values(two))
            case "sac":
                return ActorTwinCritic(nets.squashed_actor(one), nets.twin_values(two))
            case "sac-v":
                return ActorTwinCriticValue(
                    nets.squashed_actor(one), nets.twin_values(two), nets.state_value(three)
                )
            case "dpg":
                see = encoder(spaces[0], dtype=jnp.dtype(self.dtype))
                return DPGModels(deterministic_actor(nets, one), PolynomialEncoder(see, 2))
            case "ddpg":
                return DeterministicActorCritic(
                    deterministic_actor(nets, one), action_value(nets, two)
                )
            case "td3":
                return DeterministicActorCritic(
                    deterministic_actor(nets, one), nets.twin_values(two)
                )

    def source(self, keys, *, on_host):
        episodes = self.name in EPISODIC
        if on_host:
            env_keys = [
                k for key in keys for k in jr.split(jr.fold_in(key, ENVIRONMENTS), NUM_ENVS)
            ]
            pool, _ = pool_of(self.inner_env, env_keys, gathers=episodes)
            if episodes:
                return Source(HostEpisodes(lambda: pool, MAX_STEPS - 2, len(keys)), Latest())
            rollout = HostRollout(lambda: pool, NUM_ENVS, NUM_STEPS, len(keys))
        elif episodes:
            return Source(Episodes(self.env, NUM_ENVS, MAX_STEPS - 2), Latest())
        else:
            rollout = Rollout(self.env, NUM_ENVS, NUM_STEPS)
        return self.replay(rollout) if self.name in REPLAYED else Source(rollout, Latest())

    def replay(self, rollout):
        """The ring is full after three iterations, one of them the warm-up."""
        actions = (None, 1) if self.name in CONTINUOUS else (2, 0)
        explorer = UniformBehaviour(*actions, 1, jnp.dtype(self.dtype))
        size = NUM_ENVS * NUM_STEPS
        ring = Replay(3 * size, batch_size=6, num_updates=4)
        if self.name == "dqn-prioritised":
            several = dataclasses.replace(ring, num_return_steps=3, discount=0.9)
            ring = PrioritisedReplay(several, importance_updates=12, warmup_gathers=1)
        return Source(rollout, ring, Warmup(explorer, size))

    def program(self, keys, *, on_host=False):
        source = self.source(keys, on_host=on_host)
        return build_program(Loop(self.algorithm, source, self.models), keys=keys), source


def prepared(name, *, on_host=False):
    """The program of a problem, compiled once for all tests, and its source."""
    return _prepared(name, on_host)


@functools.cache
def _prepared(name, on_host):
    return Problem(name).program(KEYS, on_host=on_host)


def run(program, source, *cuts, state=None):
    """Run from iteration `cuts[0]`, one chunk to each of the others: the state and all totals."""
    state = program.init() if state is None else state
    warm, found = source.warmup_gathers, []
    for first, last in itertools.pairwise(cuts):
        state, totals = program.chunk(state, warm + first, warm + last, EVER)
        found.append(totals)
    return state, found


def as_numpy(tree):
    """Copies on the host, with random keys as numbers, so that a donated state can be kept."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda x: np.array(jr.key_data(x) if is_key(x) else x), tree)


def assert_same_bits(ours, theirs):
    """Every array of two states, keys and counters included."""
    ours, theirs = as_numpy(ours), as_numpy(theirs)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
