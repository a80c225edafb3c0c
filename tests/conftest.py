import jax
import jax.random as jr
import pytest


jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jr.key(0)


@pytest.fixture
def x64():
    """Exact mathematics is tested in double precision."""
    with jax.enable_x64(True):
        yield
