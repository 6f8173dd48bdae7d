"""Requirements on values: exceptions where they are known, `error_if` under jit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from expfam.geometry.checks import require


def test_values_pass_where_the_condition_holds():
    values = {"a": jnp.ones(2)}
    assert require(values, jnp.array(True), "never") is values
    assert jax.jit(lambda v: require(v, v.sum() > 0, "never"))(jnp.ones(2)).sum() == 2


@pytest.mark.parametrize("message", ["`x` is wrong", lambda: "`x` is wrong"])
def test_a_known_failure_is_a_value_error(message):
    with pytest.raises(ValueError, match="`x` is wrong"):
        require(jnp.ones(2), jnp.array(False), message)


@pytest.mark.parametrize("message", ["`x` is wrong", lambda: "`x` is wrong"])
def test_a_traced_failure_is_a_runtime_error(message):
    def check(values):
        return require(values, values.sum() > 5, message)

    with pytest.raises(RuntimeError, match="`x` is wrong"):
        jax.jit(check)(jnp.ones(2))
    with pytest.raises(RuntimeError, match="`x` is wrong"):
        eqx.filter_jit(check)(jnp.ones(2))
