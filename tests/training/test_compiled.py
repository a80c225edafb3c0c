import os
import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from loops.pairs import Problem, assert_same_bits, run
from rewardtogo.algorithms.reinforce import REINFORCE
from rewardtogo.devices import spread
from rewardtogo.nn.build import Architecture
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.collectors.episodes import Episodes
from rewardtogo.sources.protocol import Source
from rewardtogo.training.compiled import compiled_program, shape_and_static
from rewardtogo.training.loop import Loop
from sources.toys import Walk


def test_spread_maps_all_but_the_shared_arguments():
    def function(tree, scale, index):
        return {"out": tree["x"] * scale + index}

    tree = {"x": jnp.arange(6.0).reshape(3, 2)}
    scale = jnp.array([1.0, 10.0, 100.0])
    out = jax.jit(spread(function, 3, shared=1))(tree, scale, 7.0)["out"]
    assert np.array_equal(out, np.arange(6.0).reshape(3, 2) * [[1], [10], [100]] + 7)
    out = jax.jit(spread(lambda x: x + 1, 3, shared=0))(scale)
    assert np.array_equal(out, [2, 11, 101])


def test_shapes_and_what_is_no_array():
    build = lambda key: (jr.normal(key, (2, 3)), jnp.tanh, {"n": 5})
    shape, static = shape_and_static(build, jr.key(0))
    assert shape[0].shape == (2, 3) and shape[0].dtype == jnp.float32
    assert static == (None, jnp.tanh, {"n": 5})


def test_the_template_is_what_init_makes_of_shapes():
    """Seeds are the first axis, typed keys included; nothing is run for it."""
    env = Walk()
    nets = Architecture(env.observation_space, env.action_space, (), "tanh")

    def models(key) -> Any:
        return nets.actor(key, log_std=0.0)

    loop = Loop(REINFORCE(), Source(Episodes(env, 2, 3), Latest()), models)
    keys = jr.split(jr.key(0), 3)
    program = compiled_program(loop, keys)
    state, template = program.init(), program.template()
    assert jax.tree.structure(state) == jax.tree.structure(template)
    for made, shape in zip(jax.tree.leaves(state), jax.tree.leaves(template), strict=True):
        assert isinstance(shape, jax.ShapeDtypeStruct)
        assert (made.shape, made.dtype) == (shape.shape, shape.dtype)
        assert made.shape[0] == 3
    assert program.resume(state) is state
    for seed, key in enumerate(keys):
        alone = models(jr.fold_in(key, 2**32 - 1)).logits.layers[0].weight
        assert np.allclose(state.learner.trainable.params.logits.layers[0].weight[seed], alone)


def test_a_seed_alone_is_itself_among_several():
    """The same bits, as released programs are compiled: seeds of a device run one after another."""
    problem = Problem("reinforce", "float32")
    keys = jr.split(jr.key(6), 3)
    states = [run(*problem.program(some), 0, 4)[0] for some in (keys, keys[1:2])]
    assert_same_bits(jax.tree.map(lambda x: x[1:2], states[0]), states[1])


ON_TWO_DEVICES = """
    import jax, jax.numpy as jnp, numpy as np
    from rewardtogo.devices import spread
    assert jax.local_device_count() == 2
    function = lambda x, y: jnp.tanh(x) @ jnp.ones(3) + y
    for seeds in (1, 2, 3, 4):
        x = jnp.arange(3.0 * seeds).reshape(seeds, 3)
        out = jax.jit(spread(function, seeds, shared=1))(x, jnp.array(2.0))
        assert np.allclose(out, np.tanh(x).sum(-1) + 2, atol=1e-5), seeds
        assert len(out.sharding.device_set) == (2 if seeds % 2 == 0 else 1), seeds
"""


def test_seeds_are_spread_over_devices_that_divide_them():
    code = textwrap.dedent(ON_TWO_DEVICES)
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | flags, timeout=60)
