"""Conjugate priors: textbook posteriors, densities and expectations by quadrature, predictives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import expfam as ef
from expfam.priors import compiled

from .reference import close

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
Prior = ef.ConjugatePrior


def named(family, **values):
    return Prior.from_hyperparameters(family, **values)


# ---------------------------------------------------------------- posteriors as in the textbooks

BITS = np.array([1, 0, 1, 1])
COUNTS = np.array([3, 0, 2, 7])
KINDS = np.array([0, 2, 2, 1, 2])
TIMES = np.array([0.5, 2.0, 1.5])
ROWS = RNG.normal(size=(7, 2))

TEXTBOOK = {
    "beta–Bernoulli": (
        named(ef.Bernoulli(), alpha=2.0, beta=0.5),
        BITS,
        {"alpha": 5.0, "beta": 1.5},
    ),
    "beta–binomial": (
        named(ef.Binomial(7), alpha=2.0, beta=0.5),
        COUNTS,
        {"alpha": 14.0, "beta": 16.5},
    ),
    "beta–geometric": (
        named(ef.Geometric(), alpha=1.0, beta=1.0),
        COUNTS,
        {"alpha": 5.0, "beta": 13.0},
    ),
    "beta–negative binomial": (
        named(ef.NegativeBinomial(2.5), alpha=1.0, beta=0.5),
        COUNTS,
        {"alpha": 11.0, "beta": 12.5},
    ),
    "Dirichlet–categorical": (
        named(ef.Categorical(3), concentration=jnp.array([0.5, 1.0, 2.0])),
        KINDS,
        {"concentration": [1.5, 2.0, 5.0]},
    ),
    "Dirichlet–multinomial": (
        named(ef.Multinomial(4, 3), concentration=jnp.array([0.5, 1.0, 2.0])),
        np.array([[4, 0, 0], [1, 2, 1]]),
        {"concentration": [5.5, 3.0, 3.0]},
    ),
    "gamma–Poisson": (
        named(ef.Poisson(), shape=2.0, rate=0.5),
        COUNTS,
        {"shape": 14.0, "rate": 4.5},
    ),
    "gamma–exponential": (
        named(ef.Exponential(), shape=0.5, rate=0.5),
        TIMES,
        {"shape": 3.5, "rate": 4.5},
    ),
    "normal–normal": (
        named(ef.Normal(2, ef.Identity()), mean=jnp.ones(2), precision=3.0),
        ROWS,
        {"mean": (3 + ROWS.sum(axis=0)) / 10, "precision": 10.0},
    ),
}


@pytest.mark.parametrize("case", TEXTBOOK.values(), ids=TEXTBOOK)
def test_posteriors_equal_the_textbook_ones(case):
    prior, xs, expected = case
    found = prior.observe(jnp.asarray(xs)).hyperparameters()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        close(found[name], value)


def test_weights_count_rows():
    prior = TEXTBOOK["gamma–Poisson"][0]
    weights, twice = jnp.array([2.0, 1.0, 1.0, 2.0]), np.array([3, 3, 0, 2, 7, 7])
    one, other = prior.observe(COUNTS, weights), prior.observe(twice)
    close(one.total.coords, other.total.coords)
    close(one.count, other.count)
    close(prior.log_evidence(COUNTS, weights), prior.log_evidence(twice))


def normal_posterior(mean, count, scale, freedom, xs):
    """Murphy, Conjugate Bayesian analysis of the Gaussian distribution (2007), section 9."""
    n, average = len(xs), xs.mean(axis=0)
    gap = average - mean
    spread = (xs - average).T @ (xs - average)
    return {
        "mean": (count * mean + n * average) / (count + n),
        "count": count + n,
        "scale": scale + spread + count * n / (count + n) * np.outer(gap, gap),
        "freedom": freedom + n,
    }


MEAN, SCALE = np.array([0.5, -1.0]), np.array([[2.0, 0.3], [0.3, 1.0]])
NORMALS = {
    "full": (ef.PositiveDefinite(), SCALE, lambda m: m),
    "diagonal": (ef.Diagonal(), np.diag(SCALE), np.diag),
    "scale": (ef.Scale(), np.trace(SCALE), np.trace),
}


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("name", NORMALS)
def test_normal_posteriors_equal_the_textbook_ones(name, framed):
    structure, scale, restrict = NORMALS[name]
    family = ef.Normal(2, structure)
    family = ef.standardize(family, 3 * ROWS + 1) if framed else family
    values = {"mean": jnp.asarray(MEAN), "count": 0.7, "scale": jnp.asarray(scale), "freedom": 2.5}
    prior = named(family, **values)
    for key, value in prior.hyperparameters().items():
        close(value, values[key], 1e-9)
    found = prior.observe(jnp.asarray(ROWS)).hyperparameters()
    expected = normal_posterior(MEAN, 0.7, SCALE, 2.5, ROWS)
    close(found["mean"], expected["mean"])
    close(found["count"], expected["count"])
    close(found["scale"], restrict(expected["scale"]), 1e-9)
    # Every coordinate of a row adds to the one variance of P = tI.
    close(found["freedom"], 2.5 + (14 if name == "scale" else 7))


def test_one_count_is_the_prior_of_diaconis_and_ylvisaker():
    # E[Σ + μμᵀ] = φ₂/ν, and Σ is inverse Wishart with ν + d + 2 degrees of freedom.
    family = ef.Normal(2)
    mean = family.to_mean(family.from_mean_covariance(jnp.asarray(MEAN), jnp.asarray(SCALE)))
    prior = Prior.from_mean(family, mean, 3.0)
    found = prior.hyperparameters()
    close(found["freedom"], 3 + 2 + 2)
    close(found["scale"], 3 * SCALE)
    pair = Prior.from_mean(family, mean, jnp.array([3.0, 3.0]))
    close(pair.log_normalizer(), prior.log_normalizer())
    close(family.flatten(pair.mean), family.flatten(prior.mean))
    other = named(family, **{**found, "count": 1.0, "freedom": 5.0})
    close(
        family.flatten(other.mode()),
        family.flatten(Prior.from_mean(family, other.mean, other.count).mode()),
    )


@pytest.mark.parametrize("name", NORMALS)
def test_normal_priors_are_members_of_named_families(name):
    structure, scale, _ = NORMALS[name]
    size = 1 if name == "scale" else 2
    values = {"mean": jnp.asarray(MEAN[:size]), "count": 0.7, "freedom": 2.5}
    scale = jnp.asarray(2.0 if name == "scale" else scale)
    prior = named(ef.Normal(size, structure), scale=scale, **values)
    family, params = prior.distribution()
    if name == "full":
        found = family.location_count_scale_freedom(params)
        expected = (MEAN, 0.7, SCALE, 2.5)
    else:
        family, params = family.family, jax.tree.map(lambda leaf: leaf[0], params)
        found = family.location_count_shape_scale(params)
        expected = (MEAN[0], 0.7, 1.25, 1.0)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


def test_one_variance_of_two_means_has_no_named_prior():
    values = {"mean": jnp.asarray(MEAN), "count": 0.7, "scale": 2.0, "freedom": 2.5}
    with pytest.raises(TypeError, match="is no family of the library"):
        named(ef.Normal(2, ef.Scale()), **values).distribution()


# ---------------------------------------------------------------- data carried over

CARRIED = {
    "Weibull": (ef.Weibull(2.0), {"shape": 1.5, "rate": 2.0}, lambda y: y**2),
    "Pareto": (ef.Pareto(0.5), {"shape": 1.5, "rate": 2.0}, lambda y: np.log(y / 0.5)),
    "Laplace": (ef.Laplace(1.0), {"shape": 1.5, "rate": 2.0}, lambda y: abs(y - 1)),
    "half-normal": (ef.HalfNormal(), {"shape": 1.5, "rate": 2.0}, lambda y: y**2),
}


@pytest.mark.parametrize("name", CARRIED)
def test_evidence_of_derived_families_by_quadrature(name):
    # ∫ Π p(y; λ) Gamma(λ; a, b) dλ, λ being minus the natural coordinate
    family, values, origin = CARRIED[name]
    ys = jnp.array([0.7, 1.3, 2.2])
    prior = named(family, **values)

    # trapezoidal in log λ
    grid = np.exp(np.linspace(-12, 8, 401))
    densities = jax.vmap(lambda rate: family.log_density(ef.Natural(-rate), ys))(jnp.asarray(grid))
    weights = stats.gamma(values["shape"], scale=1 / values["rate"]).pdf(grid) * grid
    total = 0.05 * np.sum(weights * np.exp(np.sum(densities, axis=1)))
    close(prior.log_evidence(ys), np.log(total), 1e-9)
    worth = 0.5 if name == "half-normal" else 1.0
    after = prior.observe(ys).hyperparameters()
    close(after["shape"], 1.5 + worth * 3)
    close(after["rate"], 2.0 + origin(ys).sum())
    close(prior.log_predictive(ys[0]), prior.log_evidence(ys[:1]))


def test_log_normal_priors_are_those_of_the_logarithms():
    values = {"mean": jnp.asarray(MEAN), "count": 0.7, "scale": jnp.asarray(SCALE), "freedom": 6.5}
    one, other = named(ef.LogNormal(2), **values), named(ef.Normal(2), **values)
    ys = jnp.exp(ROWS)
    close(one.log_evidence(ys), other.log_evidence(ROWS) - ROWS.sum())
    close(one.family.flatten(one.mode()), other.family.flatten(other.mode()))
    close(one.log_predictive(ys), other.log_predictive(ROWS) - ROWS.sum(axis=1))


def test_expected_log_normalizer_of_gammas_of_a_fixed_shape():
    # ψ = log Γ(k) − k log λ, and E[log λ] = digamma(a) − log b
    family = ef.SubFamily(ef.Gamma(), ef.FixedShape(2.5))
    prior = named(family, shape=3.0, rate=2.0)
    expected = special.gammaln(2.5) - 2.5 * (special.digamma(3.0) - np.log(2.0))
    close(prior.expected_log_normalizer(), expected)


# ---------------------------------------------------------------- the two traps


def test_pseudo_counts_are_those_of_natural_coordinates():
    # Against Lebesgue measure of θ, and not of p: E[p] is p₀ itself, not (np₀ + 1)/(n + 2).
    prior = Prior.from_mean(ef.Bernoulli(), ef.Mean(jnp.asarray(0.3)), 10.0)
    close(prior.hyperparameters()["alpha"], 3.0)
    close(prior.hyperparameters()["beta"], 7.0)
    close(jax.nn.sigmoid(prior.mode().coords), 0.3)
    close(jnp.exp(prior.log_predictive(jnp.array(1))), 0.3)


def test_exponential_rate_of_the_prior_is_count_times_mean():
    # The likelihood of 2 observations with mean 4 is λ² exp(−8λ).
    prior = Prior.from_mean(ef.Exponential(), ef.Mean(jnp.asarray(4.0)), 2.0)
    close(prior.hyperparameters()["shape"], 3.0)
    close(prior.hyperparameters()["rate"], 8.0)
    family, params = prior.distribution()
    close(family.to_mean(params).coords.value, 3 / 8)


# ---------------------------------------------------------------- densities by quadrature

FAMILIES = {
    "bernoulli": (ef.Bernoulli(), 2.5),
    "binomial": (ef.Binomial(3), 0.8),
    "geometric": (ef.Geometric(), 2.5),
    "negative binomial": (ef.NegativeBinomial(1.5), 1.2),
    "categorical": (ef.Categorical(3), 9.0),
    "poisson": (ef.Poisson(), 2.0),
    "exponential": (ef.Exponential(), 1.5),
    "normal": (ef.Normal(1), 3.0),
    "normal, diagonal": (ef.Normal(1, ef.Diagonal()), 3.0),
    "normal, scale": (ef.Normal(1, ef.Scale()), 3.0),
    "normal, two counts": (ef.Normal(1), jnp.array([1.0, 4.0])),
    "normal mean": (ef.Normal(2, ef.Identity()), 0.5),
    "normal, known mean": (ef.KnownMeanNormal(jnp.ones(1)), 1.5),
    "normal, known mean, diagonal": (ef.KnownMeanNormal(jnp.ones(2), ef.Diagonal()), 6.0),
    "normal, known mean, scale": (ef.KnownMeanNormal(jnp.ones(2), ef.Scale()), 1.5),
    "normal, known covariance": (
        ef.KnownCovarianceNormal(jnp.asarray([[2.0, 0.5], [0.5, 1]])),
        2.0,
    ),
    "gamma": (ef.Gamma(), 2.0),
    "inverse Gaussian": (ef.InverseGaussian(), 3.0),
    "logarithmic": (ef.Logarithmic(), 2.0),
    "von Mises": (ef.VonMises(), 5.0),
    "product": (ef.Product((ef.Bernoulli(), ef.Exponential())), 2.5),
    "replicated": (ef.Replicated(ef.Poisson(), 2), 2.5),
}


@jax.jit
def on_grid(prior, frees):
    """θ, its volume, log p(θ), ψ and ∇ψ on a grid of free parameters."""
    family = prior.family

    def place(free):
        return family._flatten(family._from_unconstrained(free), "natural")

    def one(free):
        coords = family._from_unconstrained(free)
        psi, mean = jax.value_and_grad(family._log_normalizer)(coords)
        log_p = prior.log_density(ef.Natural(coords))
        return place(free), log_p, psi, family._flatten(mean, "mean")

    jacobians = jax.vmap(jax.jacfwd(lambda free: place(free)))(frees)
    return jax.vmap(one)(frees), jax.tree.leaves(jacobians)


@pytest.mark.parametrize("name", FAMILIES)
def test_density_expectations_and_entropy_by_quadrature(name):
    family, count = FAMILIES[name]
    rng = np.random.default_rng(1)
    free = jax.eval_shape(family._to_unconstrained, family.initialize(KEY).coords)
    leaves, treedef = jax.tree.flatten(free)
    center = [jnp.asarray(0.3 * rng.normal(size=leaf.shape)) for leaf in leaves]
    params = ef.Natural(family._from_unconstrained(jax.tree.unflatten(treedef, center)))
    prior = Prior.from_mean(family, family.to_mean(params), count)

    # all grid points, as the leaves of free parameters
    axis = np.linspace(-30, 30, 1201) if family.dim == 1 else np.linspace(-14, 14, 225)
    points = np.stack(np.meshgrid(*[axis] * family.dim, indexing="ij"), -1).reshape(-1, family.dim)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    grids = [
        jnp.asarray(part.reshape(-1, *leaf.shape) + c)
        for part, leaf, c in zip(np.split(points, ends, axis=1), leaves, center, strict=True)
    ]
    found, jacobians = on_grid(prior, jax.tree.unflatten(treedef, grids))
    theta, log_p, psi, mean = map(np.asarray, found)
    jacobian = np.concatenate([np.asarray(j).reshape(*theta.shape, -1) for j in jacobians], -1)
    volume = np.abs(np.linalg.det(jacobian)) * (axis[1] - axis[0]) ** family.dim
    used = np.isfinite(log_p) & (log_p > -100)
    masses = np.where(used, np.exp(np.where(used, log_p, 0)) * volume, 0)[:, None]

    def expect(values):
        return np.sum(np.where(masses > 0, masses * values.reshape(len(masses), -1), 0), axis=0)

    tolerance = 1e-7 if family.dim == 1 else 2e-5
    close(expect(np.ones_like(psi)), 1, tolerance)
    close(family.flatten(prior.expected_natural()), expect(theta), tolerance, tolerance)
    close(prior.expected_log_normalizer(), expect(psi)[0], tolerance, tolerance)
    close(prior.entropy(), expect(-log_p)[0], tolerance, tolerance)
    # The theorem of Diaconis & Ylvisaker. Its integral over the logarithmic family converges like a
    # power of log θ; the domain of inverse Gaussians is not open, so that it does not hold there.
    if prior.count.ndim == 0 and name != "inverse Gaussian":
        slack = 2e-3 if name == "logarithmic" else 10 * tolerance
        close(expect(mean), family.flatten(prior.mean), slack, tolerance)


# ---------------------------------------------------------------- predictives and evidence

X = np.arange(8)
PREDICTIVES = {
    "beta-binomial": (
        named(ef.Binomial(7), alpha=1.5, beta=0.4),
        X,
        stats.betabinom(7, 1.5, 0.4).logpmf(X),
    ),
    "beta-Bernoulli": (named(ef.Bernoulli(), alpha=1.5, beta=0.5), X[:2], np.log([0.25, 0.75])),
    "beta-negative-binomial": (
        named(ef.NegativeBinomial(2.0), alpha=1.5, beta=0.4),
        X,
        stats.betanbinom(2, 1.5, 0.4).logpmf(X),
    ),
    "beta-geometric": (
        named(ef.Geometric(), alpha=0.5, beta=0.4),
        X,
        stats.betanbinom(1, 0.5, 0.4).logpmf(X),
    ),
    "Dirichlet-multinomial": (
        named(ef.Multinomial(3, 3), concentration=jnp.array([0.5, 1.0, 2.0])),
        np.array([[3, 0, 0], [1, 2, 0], [1, 1, 1]]),
        stats.dirichlet_multinomial([0.5, 1.0, 2.0], 3).logpmf([[3, 0, 0], [1, 2, 0], [1, 1, 1]]),
    ),
    "Dirichlet-categorical": (
        named(ef.Categorical(3), concentration=jnp.array([0.5, 1.0, 2.5])),
        X[:3],
        np.log([0.125, 0.25, 0.625]),
    ),
    "negative binomial": (
        named(ef.Poisson(), shape=1.5, rate=0.4),
        X,
        stats.nbinom(1.5, 0.4 / 1.4).logpmf(X),
    ),
    "Lomax": (
        named(ef.Exponential(), shape=0.8, rate=0.4),
        X / 2,
        stats.lomax(0.8, scale=0.4).logpdf(X / 2),
    ),
    "normal": (
        named(ef.Normal(2, ef.Identity()), mean=jnp.asarray(MEAN), precision=0.5),
        ROWS,
        stats.multivariate_normal(MEAN, 3 * np.eye(2)).logpdf(ROWS),
    ),
    "multivariate t": (
        named(
            ef.Normal(2), mean=jnp.asarray(MEAN), count=0.5, scale=jnp.asarray(SCALE), freedom=1.5
        ),
        ROWS,
        stats.multivariate_t(MEAN, 3 * SCALE / 0.5, df=0.5).logpdf(ROWS),
    ),
    "t by t": (
        named(
            ef.Normal(2, ef.Diagonal()),
            mean=jnp.asarray(MEAN),
            count=0.5,
            scale=jnp.array([2.0, 1.0]),
            freedom=1.5,
        ),
        ROWS,
        stats.t(1.5, MEAN, np.sqrt([4.0, 2.0])).logpdf(ROWS).sum(axis=1),
    ),
    "isotropic t": (
        named(ef.Normal(2, ef.Scale()), mean=jnp.asarray(MEAN), count=0.5, scale=3.0, freedom=1.5),
        ROWS,
        stats.multivariate_t(MEAN, 6 * np.eye(2), df=1.5).logpdf(ROWS),
    ),
    "t in a frame": (
        named(
            ef.standardize(ef.Normal(2), 3 * ROWS + 1),
            mean=jnp.asarray(MEAN),
            count=0.5,
            scale=jnp.asarray(SCALE),
            freedom=1.5,
        ),
        ROWS,
        stats.multivariate_t(MEAN, 3 * SCALE / 0.5, df=0.5).logpdf(ROWS),
    ),
}


@pytest.mark.parametrize("case", PREDICTIVES.values(), ids=PREDICTIVES)
def test_predictive_equals_that_of_scipy_and_evidence_is_a_ratio_of_normalizers(case):
    prior, xs, expected = case
    rows = jnp.asarray(xs)
    close(prior.log_predictive(rows), expected, 1e-11, 1e-13)
    ratio = prior.observe(rows).log_normalizer() - prior.log_normalizer()
    base = jnp.sum(prior.family.log_base_measure(rows))
    close(prior.log_evidence(rows), ratio + base, 1e-9)


@pytest.mark.parametrize("name", ["beta-binomial", "multivariate t", "isotropic t"])
def test_evidence_is_the_chain_of_predictives(name):
    # log p(x₁, x₂, …) = Σ log p(x_i | x_1 … x_(i−1))
    prior, xs, _ = PREDICTIVES[name]
    posterior, total = prior, 0.0
    for row in jnp.asarray(xs):
        total += float(posterior.log_predictive(row))
        posterior = posterior.observe(row[None])
    close(prior.log_evidence(jnp.asarray(xs)), total)


def test_posterior_density_is_likelihood_times_prior_over_evidence():
    family = ef.Normal(2)
    prior = PREDICTIVES["multivariate t"][0]
    params = family.from_mean_covariance(jnp.array([0.2, 0.1]), jnp.asarray(SCALE))
    rows = jnp.asarray(ROWS)
    bayes = prior.log_density(params) + jnp.sum(family.log_density(params, rows))
    close(prior.observe(rows).log_density(params), bayes - prior.log_evidence(rows), 1e-10)


def test_density_of_a_normal_prior_against_scipy():
    # dθ = |P| dμ dP 2^(−d(d+3)/4), with d = 2
    family, m = ef.Normal(2), MEAN + 0.4
    covariance = np.array([[1.5, -0.2], [-0.2, 0.8]])
    params = family.from_mean_covariance(jnp.asarray(m), jnp.asarray(covariance))
    prior = named(family, mean=jnp.asarray(MEAN), count=2.0, scale=jnp.asarray(SCALE), freedom=3.5)
    precision = np.linalg.inv(covariance)
    expected = (
        stats.multivariate_normal(MEAN, covariance / 2).logpdf(m)
        + stats.wishart(3.5, np.linalg.inv(SCALE)).logpdf(precision)
        - np.linalg.slogdet(precision)[1]
        + 2.5 * np.log(2)
    )
    close(prior.log_density(params), expected)


# ---------------------------------------------------------------- arithmetic


def test_arithmetic_of_priors():
    prior = named(ef.Poisson(), shape=2.0, rate=0.5)
    one, two = prior.observe(COUNTS[:2]), prior.observe(COUNTS[2:])

    def equal(a, b):
        for name, value in a.hyperparameters().items():
            close(value, b.hyperparameters()[name])

    equal(one.merge(two).remove(prior), prior.observe(COUNTS))
    equal(one.temper(0.5), named(ef.Poisson(), shape=2.5, rate=1.25))
    equal(one.forget(1.0, prior), prior)
    equal(one.forget(0.5, prior), named(ef.Poisson(), shape=3.5, rate=1.5))
    equal(one.forget(0.25), one.temper(0.75))
    average = ef.Poisson().average_sufficient_statistic(jnp.asarray(COUNTS))
    equal(prior.observe_average(average, 4.0), prior.observe(COUNTS))


def test_divergence_is_that_of_the_named_family_and_never_negative():
    p, q = named(ef.Poisson(), shape=2.0, rate=0.5), named(ef.Poisson(), shape=2.1, rate=0.7)
    gamma, first = p.distribution()
    close(p.kl_divergence(q), gamma.kl_divergence(first, q.distribution()[1]))
    assert float(p.kl_divergence(p)) == 0
    normal = ef.Normal(2)
    p = PREDICTIVES["multivariate t"][0]
    q = p.observe(jnp.asarray(ROWS))
    draws = q.sample(KEY, (20000,))

    @jax.jit
    def gaps(coords):
        return jax.vmap(lambda c: q.log_density(ef.Natural(c)) - p.log_density(ef.Natural(c)))(
            coords
        )

    values = np.asarray(gaps(draws.coords))
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - float(q.kl_divergence(p))) < 5 * error
    assert normal.in_domain(q.expected_natural())


@pytest.mark.parametrize(
    "name", ["bernoulli", "negative binomial", "categorical", "poisson", "exponential"]
)
def test_draws_have_the_distribution_of_the_prior(name):
    family, count = FAMILIES[name]
    prior = Prior.from_mean(family, family.to_mean(family.initialize(KEY)), count)
    draws = prior.sample(KEY, (100, 1000)).coords
    assert draws.shape[:2] == (100, 1000)
    draws = np.asarray(draws, float).reshape(100_000, -1)
    means = prior.expected_natural().coords
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert np.all(abs(draws.mean(axis=0) - means) < 5 * error)
    values = prior.hyperparameters()
    if "shape" in values:
        rates = -draws if name == "exponential" else np.exp(draws)
        reference = stats.gamma(values["shape"], scale=1 / values["rate"])
        assert stats.kstest(rates[:, 0], reference.cdf).pvalue > 1e-3
    elif "alpha" in values:
        pair = [float(values[key]) for key in ("alpha", "beta")]
        # e^θ is the probability of the other outcome, of which no digit is lost next to 0
        if name == "negative binomial":
            p, pair = np.exp(draws), pair[::-1]
        else:
            p = special.expit(draws)
        assert stats.kstest(p[:, 0], stats.beta(*pair).cdf).pvalue > 1e-3


def test_draws_of_normals_and_of_predictives():
    prior = named(
        ef.Normal(2), mean=jnp.asarray(MEAN), count=2.0, scale=jnp.asarray(SCALE), freedom=8.0
    )
    draws = prior.sample(KEY, (20_000,))
    second = -2 * np.asarray(draws.coords.second)
    close(second.mean(axis=0), 8 * np.linalg.inv(SCALE), 0.05, 0.05)
    xs = np.asarray(prior.sample_predictive(KEY, (20_000,)))
    reference = stats.t(7, MEAN[0], np.sqrt(1.5 * SCALE[0, 0] / 7))
    assert stats.kstest(xs[:, 0], reference.cdf).pvalue > 1e-3
    counts = named(ef.Binomial(7), alpha=1.5, beta=0.4).sample_predictive(KEY, (100_000,))
    observed = np.bincount(np.asarray(counts), minlength=8)
    expected = 100_000 * stats.betabinom(7, 1.5, 0.4).pmf(X)
    assert stats.chisquare(observed, expected / expected.sum() * observed.sum()).pvalue > 1e-3


# ---------------------------------------------------------------- transformations


def test_under_jit_vmap_and_grad():
    counts = jnp.asarray(COUNTS)

    def evidence(shape, rate):
        prior = named(ef.Poisson(), shape=shape, rate=rate)
        return prior.log_evidence(counts)

    # log Γ(a + s)/Γ(a) + a log b − (a + s) log(b + n), less a constant, for n counts of sum s
    value, slopes = jax.jit(jax.value_and_grad(evidence, argnums=(0, 1)))(2.0, 0.5)
    close(value, evidence(2.0, 0.5))
    total, n = COUNTS.sum(), len(COUNTS)
    rise = special.digamma(2.0 + total) - special.digamma(2.0)
    expected = [rise + np.log(0.5 / (0.5 + n)), 2.0 / 0.5 - (2.0 + total) / (0.5 + n)]
    # the first is what two numbers of the size of 2 leave over
    close(slopes, expected, atol=1e-10)
    shapes = jnp.array([0.5, 2.0, 3.0])
    batch = jax.vmap(lambda shape: evidence(shape, 0.5))(shapes)
    close(batch[1], value)
    priors = jax.vmap(lambda shape: named(ef.Poisson(), shape=shape, rate=0.5))(shapes)
    close(jax.vmap(lambda prior: prior.log_evidence(counts))(priors), batch)


def test_a_family_without_a_normalizer_has_the_rest():
    beta, xs = ef.Beta(), jnp.array([0.2, 0.4, 0.5, 0.7])
    prior = Prior.from_mean(beta, beta.to_mean(beta.from_concentration(1.0, 1.0)), 0.5)
    posterior = prior.observe(xs)
    total = 0.5 * prior.mean + 4 * beta.average_sufficient_statistic(xs)
    close(beta.flatten(posterior.mean), beta.flatten(total / 4.5))
    close(beta.flatten(beta.to_mean(posterior.mode())), beta.flatten(posterior.mean), 1e-8)
    assert compiled.conjugacy_of(beta) is None
