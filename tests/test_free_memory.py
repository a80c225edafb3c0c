import dataclasses

import pytest

import rewardtogo as rtg
from rewardtogo import free_memory as memory
from rewardtogo.free_memory import free_memory
from rewardtogo.sources.room import require_memory
from rewardtogo.sources.task import Backend, make_task
from rewardtogo.training.train import build_program
from short_runs import compile_cache  # noqa: F401


def buffer_and_task(algorithm, environment, buffer_size, seeds=3, backend: Backend = "auto"):
    recipe = dataclasses.replace(
        rtg.default_recipe(algorithm, environment),
        buffer_size=buffer_size,
        learning_starts=64,
        num_envs=2,
        num_steps=4,
    )
    task = make_task(environment, num_seeds=seeds, run_seed=0, backend=backend)
    return recipe.build(task).source.buffer, task, recipe


def counted(buffer, task, monkeypatch):
    """The free memory at which the buffer is just allowed, in bytes: twice what it takes."""
    low, high = 0, 2**50
    while high - low > 1:
        middle = (low + high) // 2
        monkeypatch.setattr(memory, "free_memory", lambda value=middle: value)
        try:
            require_memory(buffer, task)
            high = middle
        except ValueError:
            low = middle
    return high


@pytest.mark.parametrize(
    ("algorithm", "environment"), [("dqn", "CartPole-v1"), ("sac", "Pendulum-v1")]
)
def test_it_counts_what_the_buffer_will_take(algorithm, environment, monkeypatch):
    """Held against the arrays that the program makes, over all seeds."""
    import jax
    import jax.random as jr

    buffer, task, recipe = buffer_and_task(algorithm, environment, 4096)
    program = build_program(recipe.build(task), keys=jr.split(jr.key(0), 3))
    leaves = jax.tree.leaves(program.template().buffer)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    assert counted(buffer, task, monkeypatch) == 2 * size


def test_priorities_are_counted(monkeypatch):
    """One a step and their sums, to a few percent."""
    import jax
    import jax.random as jr

    _, task, recipe = buffer_and_task("dqn", "CartPole-v1", 4096)
    recipe = dataclasses.replace(recipe, prioritised=True)
    program = build_program(recipe.build(task), keys=jr.split(jr.key(0), 3))
    leaves = jax.tree.leaves(program.template().buffer)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    found = counted(recipe.build(task).source.buffer, task, monkeypatch)
    assert 2 * size <= found < 2.05 * size


def test_the_message_has_the_argument_and_sizes_in_words(monkeypatch):
    buffer, task, _ = buffer_and_task("dqn", "CartPole-v1", 10_000_000)
    monkeypatch.setattr(memory, "free_memory", lambda: 2**30)
    with pytest.raises(ValueError) as caught:
        require_memory(buffer, task)
    message = str(caught.value)
    assert "`buffer_size` 10,000,000 needs 1.2 GiB" in message  # 3 seeds × 10⁷ × 42 bytes
    assert "half of the 1.0 GiB" in message and "3 seed(s) × 42 bytes" in message


def test_host_environments_are_counted_alike(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 2**20)
    backends: tuple[Backend, ...] = ("jax", "gymnasium")
    for backend in backends:
        buffer, task, _ = buffer_and_task("dqn", "CartPole-v1", 100_000, backend=backend)
        with pytest.raises(ValueError, match=r"12\.0 MiB"):
            require_memory(buffer, task)


def test_what_has_no_buffer_needs_no_room(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1)
    task = make_task("CartPole-v1", num_seeds=1, run_seed=0)
    require_memory(rtg.default_recipe("ppo", "CartPole-v1").build(task).source.buffer, task)


def test_free_memory_is_less_than_all_and_not_none():
    free = free_memory()
    assert free is None or 2**20 < free < 2**45


def test_a_container_has_its_own_limit(monkeypatch, tmp_path):
    texts = {
        "memory.max": "1000000\n",
        "memory.current": "700000\n",
        "memory.stat": "anon 100\ninactive_file 200000\nactive_file 100000\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    assert free_memory() == 600_000  # the page cache is given back when it is needed
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() != 600_000
