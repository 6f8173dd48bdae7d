"""Textbook formulas in numpy and scipy, shared by the tests of latent-variable models."""

import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.special import logsumexp

import expfam as ef


def close(actual, expected, tolerance=1e-9):
    """Equal up to a tolerance, relative for large and absolute for small numbers."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def expand(leaf, size):
    """The matrix that a natural second-order leaf stands for."""
    if leaf is None:
        return -0.5 * np.eye(size)
    leaf = np.asarray(leaf)
    return leaf if leaf.ndim == 2 else np.diag(np.broadcast_to(leaf, (size,)))


def normalizer(mean, covariance):
    """ψ of a normal, without the constant: ½ μᵀΣ⁻¹μ + ½ log|Σ|."""
    whitened = mean @ np.linalg.solve(covariance, mean)
    return 0.5 * whitened + 0.5 * np.linalg.slogdet(covariance)[1]


def softmax(logits):
    """Weights from log-weights up to a constant."""
    return np.exp(logits - logsumexp(logits, axis=-1, keepdims=True))


def read_mixture(coords, shift=(0.0, 0.0)):
    """Weights, means and covariances of a mixture of normals, from natural coordinates.

    By the definition of a normal, θ₁ = Σ⁻¹μ and Θ = −Σ⁻¹/2 = shared + varying; the weights are
    π_k ∝ exp(w_k + ψ_k). A shift is added to θ₁ and Θ of every component.
    """
    coords = jax.tree.map(np.asarray, coords)
    log_weights, means, covariances = [], [], []
    for k in range(len(coords.latent)):
        first, second = coords.interaction.first[k], coords.interaction.second
        leaves = [coords.observable, None if second is None else second[k]]
        parts = [expand(leaf, first.size) for leaf in leaves if leaf is not None]
        matrix = (sum(parts) if parts else expand(None, first.size)) + shift[1]
        covariance = np.linalg.inv(-2 * matrix)
        mean = covariance @ (first + shift[0])
        log_weights.append(coords.latent[k] + normalizer(mean, covariance))
        means.append(mean)
        covariances.append(covariance)
    return softmax(np.array(log_weights)), np.array(means), np.array(covariances)


def read_linear(coords):
    """Loadings W = ΨΘ, mean b = Ψθ_X and noise Ψ of a linear Gaussian likelihood."""
    first = np.asarray(coords.observable.first)
    noise = np.linalg.inv(-2 * expand(coords.observable.second, first.size))
    return noise @ np.asarray(coords.interaction), noise @ first, noise


def normal_terms(weights, means, covariances, xs):
    """log π_k + log N(x; μ_k, Σ_k), rows by components."""
    columns = [
        np.log(weight) + stats.multivariate_normal(mean, covariance).logpdf(xs)
        for weight, mean, covariance in zip(weights, means, covariances, strict=True)
    ]
    return np.stack(columns, axis=-1)


def mixture_readings(model, params, xs):
    """All that the library says about densities and assignments."""
    return {
        "density": model.log_observable_density(params, xs),
        "average": model.average_log_observable_density(params, xs),
        "soft": model.posterior_soft_assignments(params, xs),
        "hard": model.posterior_hard_assignment(params, xs),
        "natural": jax.vmap(lambda x: model.posterior_categorical(params, x).coords)(xs),
    }


def compare_mixture(found, terms, tolerance=1e-9):
    """Compare `mixture_readings` with log π_k + log p(x | k), rows by components."""
    total = logsumexp(terms, axis=1)
    responsibilities = softmax(terms)
    close(found["density"], total, tolerance)
    close(found["average"], total.mean(), tolerance)
    close(found["soft"], responsibilities, tolerance)
    np.testing.assert_array_equal(found["hard"], responsibilities.argmax(axis=1))
    close(found["natural"], terms[:, 1:] - terms[:, :1], tolerance)


_readings = jax.jit(mixture_readings)


def check_mixture(model, params, xs, terms, tolerance=1e-9):
    """Densities and all forms of responsibilities against log π_k + log p(x | k)."""
    compare_mixture(_readings(model, params, xs), terms, tolerance)


def run_em(model, params, xs, steps):
    """Parameters after some steps of EM, as one compiled loop."""

    def step(_, coords):
        return model._em_step(coords, xs, None, None)[0]

    loop = jax.jit(lambda coords, count: jax.lax.fori_loop(0, count, step, coords))
    return ef.Natural(loop(params.coords, jnp.asarray(steps)))


def clustered(seed, n, dim):
    """Rows of three overlapping clusters of different shape."""
    rng = np.random.default_rng(seed)
    centers = 2.5 * rng.normal(size=(3, dim))
    shapes = np.eye(dim) + 0.4 * rng.normal(size=(3, dim, dim))
    labels = rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    return centers[labels] + np.einsum("nij,nj->ni", shapes[labels], rng.normal(size=(n, dim)))


def conjugation(coords):
    """ρ = (ΘᵀΨθ_X, ½ΘᵀΨΘ): what is added to natural coordinates of y to get its prior."""
    loadings, mean, _ = read_linear(coords)
    theta = np.asarray(coords.interaction)
    return theta.T @ mean, 0.5 * theta.T @ loadings


def read_location_prior(coords):
    """Mean m and covariance S of y in a linear Gaussian model whose latent family is normal."""
    first, second = conjugation(coords)
    size = first.size
    covariance = np.linalg.inv(-2 * (expand(coords.latent.second, size) + second))
    return covariance @ (np.asarray(coords.latent.first) + first), covariance


def marginal(loadings, mean, noise, latent_mean, latent_covariance):
    """Mean W m + b and covariance W S Wᵀ + Ψ of x."""
    return loadings @ latent_mean + mean, loadings @ latent_covariance @ loadings.T + noise


def condition(loadings, mean, noise, latent_mean, latent_covariance, xs):
    """Means and covariance of y given x, from the joint normal of (y, x)."""
    center, covariance = marginal(loadings, mean, noise, latent_mean, latent_covariance)
    gain = latent_covariance @ loadings.T @ np.linalg.inv(covariance)
    return (
        latent_mean + (xs - center) @ gain.T,
        latent_covariance - gain @ loadings @ latent_covariance,
    )


def structured(structure, matrix):
    """The maximum-likelihood covariance of a structure, given the full one."""
    size = len(matrix)
    return {
        "PositiveDefinite": matrix,
        "Diagonal": np.diag(np.diag(matrix)),
        "Scale": np.trace(matrix) / size * np.eye(size),
        "Identity": np.eye(size),
    }[type(structure).__name__]


def seen(structure, matrices):
    """What a structure sees of second moments: the matrix, its diagonal, its trace, nothing."""
    diagonals = np.einsum("...ii->...i", matrices)
    return {
        "PositiveDefinite": matrices,
        "Diagonal": diagonals,
        "Scale": diagonals.sum(axis=-1),
        "Identity": 0.0,
    }[type(structure).__name__]


def read_hmog(coords):
    """Weights, latent means, latent covariances, loadings, mean and noise of an HMoG."""
    return (*read_mixture(coords.latent, conjugation(coords)), *read_linear(coords))


def hmog_terms(weights, latent_means, latent_covariances, loadings, mean, noise, xs):
    """log π_k + log N(x; W m_k + b, W S_k Wᵀ + Ψ), rows by components."""
    pairs = zip(latent_means, latent_covariances, strict=True)
    normals = [marginal(loadings, mean, noise, *pair) for pair in pairs]
    return normal_terms(weights, *zip(*normals, strict=True), xs)


def factorizations(function, *args):
    """How many factorizations and triangular solves a compiled function makes, by their shapes."""
    return factorizations_of(jax.jit(function).lower(*args).compile())


def factorizations_of(compiled):
    """How many factorizations and triangular solves a program makes, by name and shape.

    What stands in a loop of known length counts as often as the loop runs.
    """
    programs, entry = {}, None
    for line in compiled.as_text().splitlines():
        if start := re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line):
            name = start[2]
            programs[name] = []
            entry = name if start[1] else entry
        elif line.startswith(" "):
            programs[name].append(line)

    def count(program):
        found = Counter()
        for line in programs[program]:
            if call := re.search(
                r'= \(?\w+\[([\d,]*)\].* custom-call\(.*target="lapack_\w(\w+?)_ffi"', line
            ):
                found[call[2], tuple(map(int, call[1].split(",")))] += 1
            elif native := re.search(
                r"= \(?\w+\[([\d,]*)\]\S* (cholesky|triangular-solve)\(", line
            ):
                found[native[2], tuple(map(int, native[1].split(",")))] += 1
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
            for inner in re.findall(r"(?:body|calls|to_apply|computation)=%?([\w.-]+)", line):
                for key, times in count(inner).items():
                    found[key] += times * (int(trips[1]) if trips else 1)
        return found

    return count(entry)
