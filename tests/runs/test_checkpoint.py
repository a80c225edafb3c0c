import errno
import json
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

from rewardtogo.runs import checkpoint
from rewardtogo.runs.checkpoint import CheckpointError, finished, latest, restore, save


DTYPES = ["bool", "float16", "float32", "bfloat16", "float8_e4m3fn", "complex64", "int4"]
DTYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32)]


def _bits(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return str(leaf.dtype), leaf.shape, np.asarray(jr.key_data(leaf)).tobytes()
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return type(leaf).__module__, str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()
    return type(leaf), repr(leaf)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert _bits(a) == _bits(b)


def shapes(tree):
    as_shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x
    return jax.tree.map(as_shape, tree)


@pytest.fixture
def state(key):
    """What a training state is made of: modules, an optimiser, keys, counters, names."""
    model = eqx.nn.MLP(3, 2, 4, 1, key=key)
    opt_state = optax.adam(1e-3).init(eqx.filter(model, eqx.is_array))
    seeds = jr.split(jr.key(7, impl="rbg"), 3)
    return {"model": model, "opt": opt_state, "keys": (key, seeds), "count": 3, "name": "ppo"}


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 1, 3)])
def test_every_dtype_and_shape_comes_back_bit_for_bit(shape, tmp_path):
    bits = np.random.default_rng(0).integers(2, size=shape)
    tree = {dtype: jnp.asarray(bits.astype(dtype)) for dtype in DTYPES}
    assert_same(restore(save(tmp_path, tree, step=0, info={}), shapes(tree)), tree)


def test_a_training_state_comes_back_with_functions_from_the_template(state, tmp_path):
    found = restore(save(tmp_path, state, step=5, info={}), shapes(state))
    assert_same(found, state)
    x = jnp.ones(3)
    assert jnp.array_equal(found["model"](x), state["model"](x))
    assert jnp.array_equal(jr.normal(found["keys"][1][2]), jr.normal(state["keys"][1][2]))


def test_numpy_leaves_come_back_as_numpy_in_full_precision(tmp_path):
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    tree = [np.float64(1) / 3, np.arange(3), fortran, np.ones(2, complex), fortran.T[::2]]
    assert_same(restore(save(tmp_path, tree, step=0, info={}), tree), tree)


@pytest.mark.parametrize(
    "value",
    [True, 0, -(2**80), 0.1, -0.0, float("inf"), float("nan"), 1 - 2j, "é\n", None, (), {}],
    ids=repr,
)
def test_python_values_come_back_with_their_type(value, tmp_path):
    assert_same(restore(save(tmp_path, value, step=0, info={}), value), value)


def test_float64_needs_x64_and_says_so(x64, tmp_path):
    tree = jnp.asarray(1 / 3)
    path = save(tmp_path, tree, step=0, info={})
    assert_same(restore(path, shapes(tree)), tree)
    with jax.enable_x64(False), pytest.raises(CheckpointError, match=r"float64.*jax_enable_x64"):
        restore(path, jax.ShapeDtypeStruct((), np.float64))


def test_the_file_is_plain_safetensors_under_readable_names(state, tmp_path):
    path = save(tmp_path, {"actor": state["model"], "x": [jnp.ones(2)]}, step=12, info={})
    assert path == tmp_path / "step_000000000012"
    arrays = load_file(path / "arrays.safetensors")
    layers = [f"actor/layers/{i}/{what}" for i in (0, 1) for what in ("weight", "bias")]
    assert sorted(arrays) == sorted([*layers, "x/0"])
    assert np.array_equal(arrays["x/0"], [1, 1])


def test_names_that_clash_are_kept_apart(tmp_path):
    tree = {"a/b": jnp.ones(2), "a": {"b": jnp.zeros(2)}, "__metadata__": jnp.full(2, 3.0)}
    assert_same(restore(save(tmp_path, tree, step=0, info={}), tree), tree)


def test_info_and_step_are_read_back(tmp_path):
    info = {"iteration": 3, "seeds": [1, 2], "best": None, "π": 0.1}
    path = save(tmp_path, jnp.ones(2), step=10**13, info=info)
    assert (checkpoint.read_info(path), checkpoint.read_step(path)) == (info, 10**13)


@pytest.mark.parametrize(
    ("tree", "options", "message"),
    [
        (np.array(["a"], object), {}, "'value' has dtype object"),
        ({"t": np.array(["a"])}, {}, "'t' has dtype"),
        (1, {"info": {"x": float("nan")}}, "finite plain JSON"),
        (1, {"info": {"x": object()}}, "finite plain JSON"),
        (1, {"step": -1}, "step=-1"),
        (1, {"keep": 0}, "keep=0"),
    ],
)
def test_what_cannot_be_stored_is_refused(tree, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "new", tree, **({"step": 0, "info": {}} | options))
    assert finished(tmp_path / "new") == []


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"a": jnp.ones(4), "k": 0, "n": 1}, r"'a': expected float32\[4\], found float32\[3\]"),
        ({"a": jnp.ones(3, int), "k": 0, "n": 1}, r"'a': expected int32\[3\], found float32\[3\]"),
        ({"a": 1.0, "k": 0, "n": 1}, r"'a': expected a Python float, found float32\[3\]"),
        ({"a": jnp.ones(3), "k": 0, "n": 1.0}, "'n': expected a Python float, found a Python int"),
        ({"a": jnp.ones(3), "k": 0, "n": jnp.ones(2)}, r"'n': expected float32\[2\], found a Py"),
        ({"a": jnp.ones(3), "k": 0}, "'n' found, not expected"),
        ({"a": jnp.ones(3), "k": 0, "n": 1, "z": jnp.ones(1)}, "'z' expected, not found"),
    ],
)
def test_another_template_is_named_leaf_by_leaf(template, message, tmp_path):
    path = save(tmp_path, {"a": jnp.ones(3), "k": jr.key(0), "n": 1}, step=0, info={})
    template["k"] = jr.key(0)
    with pytest.raises(CheckpointError, match=message) as caught:
        restore(path, template)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "template", [jr.key(0, impl="rbg"), jr.key_data(jr.key(0)), jr.split(jr.key(0))]
)
def test_a_key_of_another_kind_is_refused(template, tmp_path):
    path = save(tmp_path, jr.key(0), step=0, info={})
    with pytest.raises(CheckpointError, match=r"found key<fry>\[\]"):
        restore(path, template)


def test_a_flipped_bit_anywhere_is_found(tmp_path):
    tree = {"a": jnp.arange(3.0), "b": jnp.ones(2, bool), "c": 0.5, "k": jr.key(0)}
    path = save(tmp_path, tree, step=0, info={"x": 1})
    found = 0
    for file in path.iterdir():
        content = file.read_bytes()
        for place in np.random.default_rng(0).choice(len(content), 150, replace=False):
            damaged = bytearray(content)
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            try:
                # Between two tokens of JSON a space may turn into nothing of meaning.
                assert_same(restore(path, tree), tree)
            except CheckpointError as error:
                found += 1
                assert str(path) in str(error)
        file.write_bytes(content)
    assert found > 200


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_flipped_bit_in_an_array_is_named_and_the_one_before_offered(name, tmp_path):
    tree = {"a": jnp.arange(5.0), "b": jnp.arange(7), "c": jnp.ones(3, jnp.bfloat16)}
    before, path = (save(tmp_path, tree, step=step, info={}) for step in (1, 2))
    file = path / "arrays.safetensors"
    content = bytearray(file.read_bytes())
    position = content.find(np.asarray(tree[name]).tobytes())
    content[position + 1] ^= 4
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{file}.*array '{name}'.*intact: {before}"):
        restore(path, tree)
    assert_same(restore(before, tree), tree)
    file.unlink()
    (before / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match="No older checkpoint"):
        restore(path, tree)


@pytest.mark.parametrize("file", ["arrays.safetensors", "manifest.json"])
@pytest.mark.parametrize("kept", [0, 5, 0.5, -1])
def test_a_truncated_file_is_named(file, kept, tmp_path):
    path = save(tmp_path, {"a": jnp.arange(50.0)}, step=2, info={})
    content = (path / file).read_bytes()
    (path / file).write_bytes(content[: int(len(content) * kept) if kept == 0.5 else kept])
    with pytest.raises(CheckpointError, match=str(path / file)):
        restore(path, {"a": jnp.arange(50.0)})
    assert not checkpoint.is_intact(path)


def test_arrays_of_another_checkpoint_are_found(tmp_path):
    one, other = save(tmp_path / "x", {"a": jnp.ones(2)}, step=0, info={}), tmp_path / "y"
    other = save(other, {"a": jnp.ones(2), "b": jnp.ones(2)}, step=0, info={})
    (one / "arrays.safetensors").write_bytes((other / "arrays.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="'b'"):
        restore(one, {"a": jnp.ones(2)})


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    path = save(tmp_path, 1, step=0, info={})
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    for read in (lambda: restore(path, 1), lambda: checkpoint.read_info(path)):
        with pytest.raises(CheckpointError, match=r"format 2.*up to 1.*newer"):
            read()


def test_the_newest_are_kept(tmp_path):
    paths = [save(tmp_path, 1, step=step, info={}, keep=3) for step in (5, 100, 2 * 10**12, 10**13)]
    assert finished(tmp_path) == paths[1:]
    assert latest(tmp_path) == paths[-1]
    assert latest(tmp_path / "nowhere") is None


def test_a_run_taken_up_before_a_damaged_checkpoint_replaces_it(tmp_path):
    """Restored from 2 because 3 is damaged: 3 comes again, and the old 3 is never the latest."""
    for step in (2, 3):
        save(tmp_path, step, step=step, info={})
    again = save(tmp_path, -3, step=3, info={})
    assert restore(again, 0) == -3
    assert [checkpoint.read_step(path) for path in finished(tmp_path)] == [2, 3]
    earlier = save(tmp_path, 1, step=1, info={})
    assert finished(tmp_path) == [earlier]


def test_what_a_killed_save_left_makes_room_for_the_next(tmp_path, monkeypatch):
    leftover = tmp_path / ".unfinished-1-1"
    leftover.mkdir()
    (leftover / "arrays.safetensors").write_text("half")
    write = checkpoint.save_file

    def write_alone(*arguments):
        assert not leftover.exists()
        write(*arguments)

    monkeypatch.setattr(checkpoint, "save_file", write_alone)
    save(tmp_path, jnp.ones(1), step=1, info={})


def test_a_full_disk_leaves_the_finished_one(tmp_path, monkeypatch):
    path = save(tmp_path, {"a": jnp.ones(3)}, step=1, info={})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for function in ("save_file", "sync"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, function, full)
            with pytest.raises(OSError, match="No space left"):
                save(tmp_path, {"a": jnp.zeros(3)}, step=2, info={})
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert_same(restore(path, {"a": jnp.ones(3)}), {"a": jnp.ones(3)})


CRASHES = """
    import os, random, resource, signal, sys, time
    from pathlib import Path
    import numpy as np
    from rewardtogo.runs import checkpoint

    folder, tree = Path(sys.argv[1]), lambda step: {"a": np.full(300_000, step), "b": step}
    checkpoint.save(folder, tree(1), step=1, info={})

    def audited(limit):
        count = 0
        def hook(event, _):
            nonlocal count
            if event.startswith(("os.", "open", "shutil")):
                count += 1
                if count == limit:
                    os._exit(9)
        sys.addaudithook(hook)

    def saves(start, count):
        for step in range(start, start + count):
            checkpoint.save(folder, tree(step), step=step, info={})

    def intact():
        path = checkpoint.latest(folder)
        step = checkpoint.read_step(path)
        found = checkpoint.restore(path, tree(0))
        assert found["b"] == step and (found["a"] == step).all(), path
        assert all(map(checkpoint.is_intact, checkpoint.finished(folder))), path
        return step

    def in_child(work):
        pid = os.fork()
        if not pid:
            work()
            os._exit(0)
        return pid

    def died_at(limit):  # at this system call of a save, counted
        start = intact() + 1
        pid = in_child(lambda: (audited(limit), saves(start, 1)))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

    limit = 1
    while died_at(limit):
        intact()
        limit += 1
    print("system calls", limit)
    for _ in range(6):
        start = intact() + 1
        pid = in_child(lambda: saves(start, 1000))
        time.sleep(random.uniform(0.01, 0.1))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        intact()
    start = intact() + 1
    saves(start, 1)
    assert len(list(folder.iterdir())) == 2, "what killed saves left behind is not cleaned"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        saves(start + 1, 1)
    except OSError as error:
        print(error)
    assert intact() == start
"""


def test_a_process_killed_in_a_save_leaves_the_last_finished_one(tmp_path):
    """At every system call of a save, at random moments, and with the disk refusing."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CRASHES), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    calls, refused = done.stdout.splitlines()
    assert int(calls.split()[-1]) > 15
    assert "File too large" in refused


def test_the_manifest_is_strict_json(tmp_path):
    tree = {"a": float("nan"), "b": float("-inf"), "c": jnp.full(2, jnp.nan)}
    path = save(tmp_path, tree, step=0, info={})

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((path / "manifest.json").read_text(), parse_constant=refuse)
