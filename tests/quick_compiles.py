"""Compile quickly rather than well, where a test's time goes into compiling small programs."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def quick_compiles():
    """Imported by the `conftest.py` of each folder that wants it."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
