import os
from pathlib import Path

import jax
import pytest

from rewardtogo import devices as machine
from rewardtogo.devices import prepare


@pytest.fixture(autouse=True)
def undone(monkeypatch):
    """Settings of JAX that a command makes for its own process alone."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_platforms",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XLA_FLAGS", "")
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "_has_avx512", lambda: True)


@pytest.mark.parametrize(
    ("seeds", "devices"), [(8, "4"), (4, "4"), (6, "3"), (2, "2"), (5, None), (1, None)]
)
def test_each_core_gets_an_equal_share_of_the_seeds(
    four_cores, seeds, devices, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare("auto", seeds)
    flags = dict(flag.split("=") for flag in os.environ["XLA_FLAGS"].split())
    assert flags.get("--xla_force_host_platform_device_count") == devices
    assert flags["--xla_cpu_prefer_vector_width"] == "512"


def test_what_the_user_has_set_wins(four_cores, tmp_path, monkeypatch):
    given = "--xla_force_host_platform_device_count=1 --xla_cpu_prefer_vector_width=256"
    monkeypatch.setenv("XLA_FLAGS", given)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare("auto", 8)
    assert os.environ["XLA_FLAGS"] == given


def test_compiled_programs_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    prepare("auto", 1)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "rewardtogo" / "xla")


def test_the_cache_is_in_the_home_folder_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    prepare("auto", 1)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / ".cache" / "rewardtogo" / "xla")


def test_a_cache_of_the_users_own_stays(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    prepare("auto", 1)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_without_a_place_for_the_cache_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    prepare("auto", 1)
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is one")
def test_a_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="`device` gpu: JAX sees none here"):
        prepare("gpu", 1)
