"""What errors of estimates say."""

from typing import Any

import jax


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


DEGENERATE = (
    "the maximum of the likelihood is not attained: some covariance is singular, some variance "
    "zero, or some coefficient infinite. Causes: fewer rows than dimensions, constant, duplicated "
    "or linearly dependent columns, repeated rows, covariates that separate responses, or a "
    "component that holds too few rows. Remedies: a prior, "
    "e.g. prior=expfam.weak_prior(model, xs); fewer components; a smaller covariance structure; or "
    "drop the columns."
)
