"""What errors of estimates say."""

from typing import Any

import jax
import jax.numpy as jnp

from ..geometry.checks import require
from .support import is_support


def require_prior_of(family: Any, prior: Any, owner: str) -> None:
    """Refuse what is no conjugate prior of a family.

    Raises:
        ValueError: a prior of another family, or what is none.
    """
    # Priors stand above families, which know what makes one.
    of = getattr(prior, "family", None)
    if prior is not None and jax.tree.structure(of) != jax.tree.structure(family):
        came = f"is one of {of!r}" if of is not None else f"is of type {type(prior).__name__}"
        raise ValueError(
            f"{owner}: `prior` must be an expfam.ConjugatePrior of {family!r}, but {came}."
        )


def require_counted(draws: Any, supports: Any, owner: str) -> Any:
    """Refuse draws of counts that reach the largest number of their type, which would be wrong.

    Raises:
        ValueError: such draws (RuntimeError under `jit`).
    """
    leaves, treedef = jax.tree.flatten(supports, is_leaf=is_support)
    found = treedef.flatten_up_to(draws)
    for i, (support, leaf) in enumerate(zip(leaves, found, strict=True)):
        if support.kind in ("count", "positive count"):
            found[i] = require(
                leaf,
                jnp.all(leaf < jnp.iinfo(leaf.dtype).max),
                f"{owner}: draws must be less than the largest number of their type, {leaf.dtype}, "
                "but some are not: jax.config.update('jax_enable_x64', True) allows larger ones.",
            )
    return jax.tree.unflatten(treedef, found)


DEGENERATE = (
    "the maximum of the likelihood is not attained: some covariance is singular, some variance "
    "zero, or some coefficient infinite. Causes: fewer rows than dimensions, constant, duplicated "
    "or linearly dependent columns, repeated rows, covariates that separate responses, or a "
    "component that holds too few rows. Remedies: a prior, "
    "e.g. prior=expfam.weak_prior(model, xs); fewer components; a smaller covariance structure; or "
    "drop the columns."
)
