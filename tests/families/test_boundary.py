"""Estimates at an end of their range: events that never, or always, occurred."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

EPS = float(jnp.finfo(jnp.zeros(()).dtype).eps)
ONE_IN_THREE = -np.log(3)

# Family, rows, and the largest mean log-likelihood that rows can have.
ATTAINED = {
    "bernoulli, ones": (ef.Bernoulli(), [1, 1, 1], 0),
    "bernoulli, zeros": (ef.Bernoulli(), [0, 0], 0),
    "binomial, none": (ef.Binomial(3), [0, 0], 0),
    "binomial, all": (ef.Binomial(3), [3, 3, 3], 0),
    "categorical, no 3": (ef.Categorical(4), [0, 1, 2], ONE_IN_THREE),
    "categorical, no 0": (ef.Categorical(4), [1, 2, 3], ONE_IN_THREE),
    "categorical, 2 alone": (ef.Categorical(3), [2, 2], 0),
    "multinomial": (ef.Multinomial(2, 3), [[1, 1, 0], [1, 1, 0]], -np.log(2)),
    "multinomial, no 0": (ef.Multinomial(1, 3), [[0, 1, 0], [0, 1, 0]], 0),
    "poisson": (ef.Poisson(), [0, 0, 0], 0),
    "geometric": (ef.Geometric(), [0, 0], 0),
    "negative binomial": (ef.NegativeBinomial(7.5), [0, 0], 0),
    "logarithmic": (ef.Logarithmic(), [1, 1], 0),
    "boltzmann": (ef.Boltzmann(2, [(0, 1)]), [[1, 1], [0, 1], [0, 0]], ONE_IN_THREE),
    "replicated": (ef.Replicated(ef.Bernoulli(), 2), [[1, 0], [1, 1]], -np.log(2)),
}


@pytest.mark.parametrize("name", ATTAINED)
def test_the_likelihood_of_what_never_occurred_is_attained(name):
    family, rows, best = ATTAINED[name]
    params = family.maximum_likelihood(jnp.asarray(rows))
    assert bool(family.in_domain(params))
    found = float(jnp.mean(family.log_density(params, jnp.asarray(rows))))
    assert found == pytest.approx(best, abs=200 * EPS)
    for value in (family.entropy(params), *jax.tree.leaves(family.to_mean(params))):
        assert np.all(np.isfinite(value))
    # Free parameters, gradients, and another step are finite as well.
    again = family.from_unconstrained(family.to_unconstrained(params))
    value, slope = jax.value_and_grad(lambda p: jnp.mean(family.log_density(p, jnp.asarray(rows))))(
        again
    )
    assert float(value) == pytest.approx(best, abs=1000 * EPS)
    assert np.all(np.abs(family.flatten(ef.Mean(slope.coords))) < 1e-5)


@pytest.mark.parametrize("name", ["poisson", "categorical, no 3", "bernoulli, ones"])
def test_means_on_the_boundary_have_no_natural_coordinates(name):
    family, rows, _ = ATTAINED[name]
    with pytest.raises(ValueError, match="inside the set of possible expectations"):
        family.to_natural(family.average_sufficient_statistic(jnp.asarray(rows)))


def test_the_error_of_an_estimate_names_a_remedy_that_works():
    normal = ef.Normal(2)
    xs = jnp.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    with pytest.raises(ValueError, match=r"prior=expfam.weak_prior\(model, xs\)"):
        normal.maximum_likelihood(xs)
    prior = ef.ConjugatePrior.from_mean(normal, normal.sufficient_statistic(jnp.zeros(2)), 0.0)
    prior = prior.observe(jnp.array([[0.0, 3.0], [1.0, 6.0], [3.0, 0.0]]))
    found = normal.maximum_likelihood(xs, prior=prior)
    pooled = np.concatenate([xs, [[0.0, 3.0], [1.0, 6.0], [3.0, 0.0]]])
    mean, covariance = normal.mean_covariance(found)
    np.testing.assert_allclose(mean, pooled.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(pooled.T, bias=True), rtol=1e-5, atol=1e-5)
    assert bool(normal.in_domain(normal.maximum_likelihood(xs, prior=ef.weak_prior(normal, xs))))
    with pytest.raises(ValueError, match=r"`prior` must be an expfam.ConjugatePrior of Normal"):
        normal.maximum_likelihood(xs, prior=ef.weak_prior(ef.Poisson(), jnp.array([1, 2])))
    with pytest.raises(ValueError, match="but is of type float"):
        normal.maximum_likelihood(xs, prior=1.0)


def test_a_component_of_weight_zero_is_off_and_its_gradients_are_finite():
    for component, varying in ((ef.Poisson(), None), (ef.Normal(1), ef.Identity())):
        mixture = ef.Mixture(component, 3, varying)
        if varying is None:
            parts = jax.vmap(component.from_rate)(jnp.array([2.0, 5.0, 90.0]))
            x = jnp.array([0, 4, 9])
        else:
            means = jnp.array([[0.0], [3.0], [50.0]])
            parts = jax.vmap(component.from_mean_covariance)(means, jnp.ones((3, 1, 1)))
            x = jnp.array([[0.0], [1.0], [4.0]])
        two = ef.Mixture(component, 2, varying)
        some = jax.tree.map(lambda leaf: leaf[:2], parts)

        def density(weights, mixture=mixture, parts=parts, x=x):
            return jnp.sum(
                mixture.log_observable_density(mixture.from_components(weights, parts), x)
            )

        weights = jnp.array([0.3, 0.7, 0.0])
        params = mixture.from_components(weights, parts)
        expected = two.log_observable_density(two.from_components(weights[:2], some), x)
        found = mixture.log_observable_density(params, x)
        np.testing.assert_allclose(found, expected, rtol=1e-5 if EPS > 1e-8 else 1e-12)
        assert float(mixture.weights(params)[2]) == pytest.approx(0, abs=1e-30)
        back = jax.vmap(component.to_mean)(mixture.components(params))
        np.testing.assert_allclose(
            back.coords if varying is None else back.coords.first,
            jnp.array([2.0, 5.0, 90.0]) if varying is None else means,
            rtol=1e-4,
        )
        slope = jax.grad(density)(weights)
        # that of log Σ π p at π = 0: Σ p_k/p, up to what all weights have in common
        logs = jax.vmap(component.log_density, in_axes=(0, None))(parts, x)
        direct = np.exp(logs - expected).sum(axis=1)
        np.testing.assert_allclose(slope - slope[0], direct - direct[0], rtol=1e-3)
