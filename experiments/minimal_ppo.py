"""PPO on CartPole in one file, from the physics to Adam: `python -m experiments.minimal_ppo`.

Read it from top to bottom; it needs nothing but JAX. It draws its random numbers as the library
does, and a test holds both against each other: the same parameters and metrics, to 1e-9.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr


class Settings(NamedTuple):
    num_envs: int = 4
    num_steps: int = 128  # of each environment, between two updates
    num_epochs: int = 4  # how often each step is learned from
    num_minibatches: int = 4
    num_iterations: int = 500
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3  # falls linearly to 0
    discount: float = 0.99
    trace_decay: float = 0.95
    clip: float = 0.2
    entropy_coef: float = 0.01
    value_coef: float = 0.5
    max_grad_norm: float = 0.5
    max_episode_steps: int = 500


DEFAULT = Settings()


# The environment: x, its speed, the pole's angle, its speed, and the time since the start.


def reset(key):
    return jnp.append(0.05 * jr.uniform(key, (4,), minval=-1.0, maxval=1.0), 0.0)


def physics(state, action):
    """Push the cart with ±10 N for 0.02 s: the successor, and whether the pole has fallen."""
    x, speed, angle, spin, time = state
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    push = (jnp.where(action == 1, 10.0, -10.0) + 0.05 * spin**2 * sin) / 1.1
    torque = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 / 1.1 * cos**2))
    pull = push - 0.05 / 1.1 * torque * cos
    moved = [x + 0.02 * speed, speed + 0.02 * pull, angle + 0.02 * spin, spin + 0.02 * torque]
    fallen = (jnp.abs(moved[2]) > math.radians(12)) | (jnp.abs(moved[0]) > 2.4)
    return jnp.stack([*moved, time + 1]), fallen


# Two networks: one for the policy's logits, one for the value.


def new_net(key, sizes, last_gain):
    gains = [2**0.5] * (len(sizes) - 2) + [last_gain]
    shapes = zip(gains, jr.split(key, len(gains)), sizes[:-1], sizes[1:], strict=True)
    orthogonal = jax.nn.initializers.orthogonal
    return [(orthogonal(gain)(key, (n, m)), jnp.zeros(m)) for gain, key, n, m in shapes]


def apply(net, x):
    *hidden, (weight, bias) = net
    for w, b in hidden:
        x = jnp.tanh(x @ w + jnp.expand_dims(b, range(x.ndim - 1)))
    return x @ weight + jnp.expand_dims(bias, range(x.ndim - 1))


def value_of(params, observation):
    return apply(params["critic"], observation)[..., 0]


def take(log_probs, action):
    return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]


# Acting: num_steps of all environments. An episode that ends is followed by the next at once, but
# what is stored as `after` is where the step itself led.


def gather(settings, params, carry, env_keys, key):
    def step(carry, key):
        state, episode = carry
        logits = apply(params["actor"], state[:, :4])
        action = jr.categorical(key, logits)
        after, terminated = jax.vmap(physics)(state, action)
        truncated = after[:, 4] >= settings.max_episode_steps
        ended = terminated | truncated
        row = {
            "observation": state[:, :4],
            "action": action,
            "log_prob": take(jax.nn.log_softmax(logits), action),
            "after": after[:, :4],
            "terminated": terminated,
            "ended": ended,
            "episode_return": jnp.where(ended, after[:, 4], jnp.nan),  # 1 for every step
        }
        episode = episode + ended
        fresh = jax.vmap(lambda key, number: reset(jr.fold_in(key, number)))(env_keys, episode)
        return (jnp.where(ended[:, None], fresh, after), episode), row

    return jax.lax.scan(step, carry, jr.split(key, settings.num_steps))


# Learning: how much better was each action than expected, and what is each state worth?


def advantages(settings, params, rollout):
    """Generalised advantage estimates, and the targets of the value function."""
    value, after = (value_of(params, rollout[name]) for name in ("observation", "after"))
    after = jnp.where(rollout["terminated"], 0, after)  # only a true end is worth nothing
    error = 1.0 + settings.discount * after - value  # every step is rewarded with 1
    decay = jnp.where(rollout["ended"], 0, settings.discount * settings.trace_decay)

    def backward(advantage, row):
        error, decay = row
        advantage = error + decay * advantage
        return advantage, advantage

    none = jnp.zeros(settings.num_envs)
    advantage = jax.lax.scan(backward, none, (error, decay), reverse=True)[1]
    return advantage, value + advantage


def loss(params, batch, settings):
    log_probs = jax.nn.log_softmax(apply(params["actor"], batch["observation"]))
    log_ratio = take(log_probs, batch["action"]) - batch["log_prob"]
    ratio = jnp.exp(log_ratio)
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    # The smaller of the two: no credit for leaving the region, full blame for what is worse.
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    value_loss = 0.5 * ((value_of(params, batch["observation"]) - batch["target"]) ** 2).mean()
    entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=-1).mean()
    total = policy_loss + settings.value_coef * value_loss - settings.entropy_coef * entropy
    return total, {
        "loss": total,
        "policy_gradient_loss": policy_loss,
        "value_loss": value_loss,
        "entropy_loss": -entropy,
        "approx_kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": (jnp.abs(ratio - 1) > settings.clip).mean(),
    }


def adam(settings, params, gradient, moments, count):
    """One step of Adam on the clipped gradient; `count` steps were taken before."""
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
    scale = jnp.minimum(1.0, settings.max_grad_norm / norm)
    gradient = jax.tree.map(lambda g: scale * g, gradient)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g**2, moments[1], gradient)
    steps = settings.num_iterations * settings.num_epochs * settings.num_minibatches
    rate = settings.learning_rate * jnp.maximum(1 - count / steps, 0)
    unbias, unbias_root = 1 - 0.9 ** (count + 1.0), 1 - 0.999 ** (count + 1.0)

    def move(p, m, s):
        return p - rate * (m / unbias) / (jnp.sqrt(s / unbias_root) + 1e-5)

    return jax.tree.map(move, params, first, second), (first, second)


def shuffled(settings, key):
    """Row numbers: every pass takes each step once, in an order of its own."""
    size = settings.num_envs * settings.num_steps
    bits = jr.bits(key, (settings.num_epochs, size), jnp.uint32)
    # The library sorts by the high bits alone, as the low ones carry the row.
    order = jnp.argsort(bits >> (size - 1).bit_length(), axis=-1)
    return order.reshape(settings.num_epochs * settings.num_minibatches, -1)


def update(settings, learning, rollout, key):
    params, moments, count = learning
    advantage, target = advantages(settings, params, rollout)
    batch = rollout | {"advantage": advantage, "target": target}
    batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)

    def step(carry, rows):
        params, moments, count = carry
        minibatch = jax.tree.map(lambda x: x[rows], batch)
        gradient, metrics = jax.grad(loss, has_aux=True)(params, minibatch, settings)
        params, moments = adam(settings, params, gradient, moments, count)
        return (params, moments, count + 1), metrics

    carry, metrics = jax.lax.scan(step, (params, moments, count), shuffled(settings, key))
    return carry, jax.tree.map(jnp.mean, metrics)


# All together. Every draw has a key of its own, folded or split from the run's.


@functools.partial(jax.jit, static_argnums=0)
def begin(settings, key):
    actor_key, critic_key = jr.split(jr.fold_in(key, 2**32 - 1))
    params = {
        "actor": new_net(actor_key, (4, *settings.hidden, 2), 0.01),
        "critic": new_net(critic_key, (4, *settings.hidden, 1), 1.0),
    }
    zeros = jax.tree.map(jnp.zeros_like, params)
    env_keys = jr.split(jr.fold_in(key, 2**32 - 2), settings.num_envs)
    state = jax.vmap(lambda key: reset(jr.fold_in(key, 0)))(env_keys)
    acting = (state, jnp.zeros(settings.num_envs, jnp.int32))
    return (params, (zeros, zeros), jnp.zeros((), jnp.int32)), acting, env_keys


@functools.partial(jax.jit, static_argnums=0)
def iterate(settings, learning, acting, env_keys, key, index):
    act_key, _, update_key = jr.split(jr.fold_in(key, index), 3)
    acting, rollout = gather(settings, learning[0], acting, env_keys, act_key)
    learning, metrics = update(settings, learning, rollout, jr.split(update_key, 1)[0])
    metrics["episode_return"] = jnp.nanmean(rollout["episode_return"])
    return learning, acting, metrics


def main(settings=DEFAULT, seed=0):
    key, returns = jr.key(seed), []
    learning, acting, env_keys = begin(settings, key)
    for index in range(settings.num_iterations):
        learning, acting, metrics = iterate(settings, learning, acting, env_keys, key, index)
        returns.append(metrics["episode_return"])
        if (index + 1) % 20 == 0:
            steps = (index + 1) * settings.num_envs * settings.num_steps
            mean = float(jnp.nanmean(jnp.stack(returns[-20:])))
            print(f"{steps:7,} steps: return {mean:5.1f} {'█' * round(mean / 10)}")


if __name__ == "__main__":
    main()
