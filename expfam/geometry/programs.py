"""Programs that run once, and what needs none: optimizing them takes longer than it saves."""

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

F = TypeVar("F", bound=Callable[..., Any])

# XLA refuses options that it does not know. The other kind of code for fused loops takes half as
# long to compile (jaxlib 0.10.2, a fit of a mixture from 5.4 to 3.7 seconds; without optimization
# 2.3).
_PLAIN_LOOPS = (
    {"xla_cpu_use_fusion_emitters": False}
    if version("jaxlib").startswith(("0.8.", "0.9.", "0.10."))
    else {}
)
_ONCE: dict[str, Any] = {"xla_backend_optimization_level": 0} | _PLAIN_LOOPS


def compiled_once(function: F) -> F:
    """A compiled function for what is not done again and again, without optimizations.

    Where it only hands on what it is given, nothing is compiled. While a program around it is
    traced, it is a part of that one, and optimized with it.

    Args:
        function: from trees of arrays to trees of arrays.
    """
    quick, part = jax.jit(function, compiler_options=_ONCE), jax.jit(function)

    @wraps(function)
    def call(*args: Any) -> Any:
        if not part.trace(*args).jaxpr.eqns:
            return function(*args)
        around = jnp.zeros(()), *jax.tree.leaves(args)
        traced = any(isinstance(leaf, Tracer) for leaf in around)
        return part(*args) if traced else quick(*args)

    return call  # pyright: ignore[reportReturnType] of the type of the function


def is_at_hand(leaf: Any) -> bool:
    """Whether NumPy can look at an array where it is: known, and on the CPU of this process.

    Args:
        leaf: an array of JAX or of NumPy, or random keys, which NumPy does not know.
    """
    if isinstance(leaf, np.ndarray):
        return True
    if isinstance(leaf, Tracer) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return False
    devices = leaf.devices()
    here = leaf.is_fully_addressable and len(devices) == 1
    return here and next(iter(devices)).platform == "cpu"
