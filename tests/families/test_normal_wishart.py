"""Conjugate priors of normals and of regressions against mpmath, scipy, and textbook posteriors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma

import expfam as ef
from tests.families.reference import (
    BAR,
    DIGITS,
    EPSILON,
    assert_exact,
    exact,
    inverse_wishart_entropy,
)
from tests.registry import CLOSE, FLOAT32

pytestmark = pytest.mark.slow

GAMMA, INVERSE_GAMMA = ef.NormalGamma(), ef.NormalInverseGamma()
WISHART, INVERSE_WISHART = ef.NormalWishart(2), ef.NormalInverseWishart(2)
REGRESSION = ef.MatrixNormalInverseWishart(3, 2)
# A density is the sum of terms that are rounded.
ROUNDING = 1e-4 if FLOAT32 else 1e-10


def positive(size, seed=0):
    root = np.eye(size) + 0.3 * np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T


def normal(rows, columns, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, columns))


LOCATION, SCALE = normal(1, 2)[0], positive(2)
COEFFICIENTS, PRECISION = normal(3, 2), 2 * positive(3, 2)
USUAL = (jnp.asarray(LOCATION), 2.5, jnp.asarray(SCALE), 4.5)
VECTOR = WISHART.from_location_count_scale_freedom(*USUAL)
PAIR = INVERSE_WISHART.from_location_count_scale_freedom(*USUAL)
LINEAR = REGRESSION.from_location_precision_scale_freedom(
    jnp.asarray(COEFFICIENTS), jnp.asarray(PRECISION), jnp.asarray(SCALE), 4.5
)


# ------------------------------------------------------------------------------------ charts


def stacked(family, rows, columns, freedoms, counts):
    """Natural coordinates for several degrees of freedom and counts, along a leading axis."""
    m, k = 0.5 * normal(rows, columns), positive(rows, 2)
    first = [count * k @ m for count in counts]
    quadratic = [count * k for count in counts]
    second = [max(n, 1) * positive(columns) + m.T @ f for n, f in zip(freedoms, first, strict=True)]
    leaves = [first, second, quadratic, freedoms]
    spaces, treedef = jax.tree.flatten(family.spaces, is_leaf=lambda node: hasattr(node, "unpack"))
    shaped = [
        jnp.asarray(np.reshape(leaf, (len(freedoms), *space.shape)), float)
        for leaf, space in zip(leaves, spaces, strict=True)
    ]
    return jax.tree.unflatten(treedef, shaped)


def reference(rows, columns, leaves):
    """ψ and the means of one point, from the natural coordinates that numbers stand for."""
    shapes = [(rows, columns), (columns, columns), (rows, rows)]
    matrices = [
        mpmath.matrix(exact(np.reshape(leaf, shape)))
        for leaf, shape in zip(leaves, shapes, strict=False)
    ]
    first, second, k = matrices
    n = exact(leaves[3])
    m = k**-1 * first
    scale = second - m.T * first
    halves = [(n - i) / 2 for i in range(columns)]
    log_det = mpmath.log(mpmath.det(scale / 2))
    constant = mpmath.mpf(columns * (columns - 1)) / 4 * mpmath.log(mpmath.pi)
    psi = constant + sum(map(mpmath.loggamma, halves)) - n / 2 * log_det
    psi -= mpmath.mpf(columns) / 2 * mpmath.log(mpmath.det(k))
    precision = n * scale**-1
    means = [
        m * precision,
        -precision / 2,
        -(m * precision * m.T + columns * k**-1) / 2,
        mpmath.matrix([(sum(map(mpmath.digamma, halves)) - log_det) / 2]),
    ]
    return psi, [list(mean) for mean in means]


FAMILIES = {
    "normal_gamma": (GAMMA, 1, 1),
    "normal_wishart_3": (ef.NormalWishart(3), 1, 3),
    "normal_wishart_5": (ef.NormalWishart(5), 1, 5),
    "regression_3_2": (REGRESSION, 3, 2),
    "regression_2_4": (ef.MatrixNormalInverseWishart(2, 4), 2, 4),
}

each = pytest.mark.parametrize("name", FAMILIES)


@each
def test_log_normalizer_and_means_at_all_degrees_of_freedom(name):
    family, rows, columns = FAMILIES[name]
    freedoms = columns - 1 + np.array([1e-3, 1.0, 4.0, 1e3, 1e6, 1e6])
    coords = stacked(family, rows, columns, freedoms, [1e-2, 1.0, 3.0, 1.0, 1e3, 1e6])
    both = jax.jit(jax.vmap(jax.value_and_grad(family._log_normalizer)))(coords)
    for i in range(len(freedoms)):
        leaves = [np.asarray(leaf[i]) for leaf in jax.tree.leaves(coords)]
        with mpmath.workdps(DIGITS):
            psi, means = reference(rows, columns, leaves)
            assert_exact([both[0][i]], [psi])
        for leaf, expected in zip(jax.tree.leaves(both[1]), means, strict=True):
            entries = np.array(expected, float)
            gap = np.ravel(np.asarray(leaf[i], float)) - entries
            assert np.max(np.abs(gap)) <= BAR * np.max(np.abs(entries))


@each
def test_natural_coordinates_of_hard_means(name):
    family, rows, columns = FAMILIES[name]
    excess = np.array([1e-6, 2.0, 1e8, 5.0, 5.0])
    counts = np.array([1.0, 1.0, 1.0, 1e-6, 1e8])
    coords = stacked(family, rows, columns, columns - 1 + excess, counts)

    @jax.jit
    @jax.vmap
    def back(one):
        return family._maximize(jax.grad(family._log_normalizer)(one), None)

    found = back(coords)
    wanted, got = ([np.asarray(leaf) for leaf in jax.tree.leaves(tree)] for tree in (coords, found))
    # What half a unit in the last place makes of the scale at rest, which counts of 10⁸ hide; of
    # the degrees of freedom beyond their bound, whose gap log |E Λ| − E log |Λ| is about 1/n; and
    # of the spread, which is about 1/κ.
    edge = columns - 1
    for i, n in enumerate(wanted[3]):
        bar = max(CLOSE, 30 * (n * max(1, 1 / (n - edge)) + counts[i]) * EPSILON)
        if bar < 0.1:
            np.testing.assert_allclose(got[3][i] - edge, n - edge, rtol=bar)
        bar = max(CLOSE, 100 * max(counts[i] * max(1, excess[i]), 1) * EPSILON)
        if bar < 0.1:
            gap = np.max(np.abs(got[2][i] - wanted[2][i]))
            assert gap <= bar * np.max(np.abs(wanted[2][i]))


@pytest.mark.parametrize("size", [1e-4, 1e-1])
@pytest.mark.parametrize("name", ["normal_gamma", "normal_wishart_3"])
def test_divergence_of_close_and_of_far_pairs(name, size):
    family, rows, columns = FAMILIES[name]
    coords = stacked(family, rows, columns, columns - 1 + np.array([4.0, 1e4]), [1.0, 1e3])
    others = jax.tree.map(lambda leaf: leaf * (1 + size), coords)
    others = eqx.tree_at(lambda c: jax.tree.leaves(c)[3], others, jax.tree.leaves(coords)[3])
    divergences = jax.jit(jax.vmap(lambda p, q: family.kl_divergence(*map(ef.Natural, (p, q)))))
    found = divergences(coords, others)
    for i in range(2):
        p, q = ([np.asarray(leaf[i]) for leaf in jax.tree.leaves(c)] for c in (coords, others))
        with mpmath.workdps(DIGITS):
            (psi, means), (end, _) = reference(rows, columns, p), reference(rows, columns, q)
            expected = end - psi
            for a, b, mean in zip(p, q, means, strict=True):
                pairs = zip(np.ravel(b), np.ravel(a), mean, strict=True)
                expected -= sum((exact(y) - exact(x)) * m for y, x, m in pairs)
        assert_exact([found[i]], [expected], 1e-4 if FLOAT32 else 1e-10)


@pytest.mark.parametrize(
    ("family", "params"),
    [(GAMMA, GAMMA.from_location_count_shape_rate(0.5, 2.0, 1.5, 0.7)), (WISHART, VECTOR)],
    ids=["normal_gamma", "normal_wishart"],
)
def test_derivative_of_natural_coordinates_is_the_inverse_fisher_information(family, params):
    @jax.jit
    def slopes(means):
        def natural(vector):
            coords = family._unflatten(vector, "mean")
            return family._flatten(family._maximize(coords, None), "natural")

        return jax.jacrev(natural)(family._flatten(means.coords, "mean"))

    inverse = np.linalg.inv(np.asarray(family.fisher_information(params), float))
    gap = np.abs(slopes(family.to_mean(params)) - inverse)
    assert np.max(gap) <= 10 * CLOSE * np.max(np.abs(inverse))


@pytest.mark.parametrize("distance", [1.0, 1e2, 1e4])
def test_far_from_the_origin_the_scale_keeps_what_coordinates_hold(distance):
    location = distance * jnp.array([1.0, -1.0])
    share = (1 + 2.5 * distance**2 * np.array([1, -1]) @ np.linalg.inv(SCALE) @ [1, -1]) * EPSILON
    if share < 0.01:
        family = INVERSE_WISHART
        params = family.from_location_count_scale_freedom(location, *USUAL[1:])
        found = family.location_count_scale_freedom(params)
        np.testing.assert_allclose(found[0], location, rtol=4 * EPSILON)
        np.testing.assert_allclose(found[2], SCALE, rtol=0, atol=4 * share)


# ------------------------------------------------------------------------------------ densities


def test_usual_parameters_are_read_back():
    given = (0.3, 2.0, 1.5, 0.7)
    own = GAMMA.location_count_shape_rate(GAMMA.from_location_count_shape_rate(*given))
    other = INVERSE_GAMMA.from_location_count_shape_scale(*given)
    np.testing.assert_allclose(own, given, rtol=CLOSE)
    np.testing.assert_allclose(INVERSE_GAMMA.location_count_shape_scale(other), given, rtol=CLOSE)
    for family, params in ((WISHART, VECTOR), (INVERSE_WISHART, PAIR)):
        for a, b in zip(family.location_count_scale_freedom(params), USUAL, strict=True):
            np.testing.assert_allclose(a, b, rtol=CLOSE)
    found = REGRESSION.location_precision_scale_freedom(LINEAR)
    for a, b in zip(found, (COEFFICIENTS, PRECISION, SCALE, 4.5), strict=True):
        np.testing.assert_allclose(a, b, rtol=CLOSE)


def test_densities_of_pairs_of_numbers_are_products():
    means, values = np.array([-1.0, 0.3, 2.0]), np.array([0.2, 1.0, 3.0])
    xs = (jnp.asarray(means), jnp.asarray(values))
    params = GAMMA.from_location_count_shape_rate(0.5, 2.0, 1.5, 0.7)
    expected = stats.gamma(1.5, scale=1 / 0.7).logpdf(values)
    expected += stats.norm(0.5, 1 / np.sqrt(2 * values)).logpdf(means)
    np.testing.assert_allclose(
        GAMMA.log_density(params, xs), expected, rtol=ROUNDING, atol=ROUNDING
    )
    expected = stats.invgamma(1.5, scale=0.7).logpdf(values)
    expected += stats.norm(0.5, np.sqrt(values / 2)).logpdf(means)
    np.testing.assert_allclose(
        INVERSE_GAMMA.log_density(params, xs), expected, rtol=ROUNDING, atol=ROUNDING
    )


def test_densities_of_pairs_of_vectors_and_matrices_are_products():
    means = normal(5, 2, 3)
    matrices = np.stack([positive(2, seed) for seed in range(5)])
    xs = (jnp.asarray(means), jnp.asarray(matrices))
    for family, params, marginal in (
        (WISHART, VECTOR, stats.wishart(4.5, SCALE)),
        (INVERSE_WISHART, PAIR, stats.invwishart(4.5, SCALE)),
    ):
        expected = []
        for mean, matrix in zip(means, matrices, strict=True):
            covariance = np.linalg.inv(matrix) if family == WISHART else matrix
            conditional = stats.multivariate_normal(LOCATION, covariance / 2.5)
            expected.append(marginal.logpdf(matrix) + conditional.logpdf(mean))
        found = family.log_density(params, xs)
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def test_densities_of_regressions_are_products():
    values = np.stack([normal(3, 2, seed) for seed in range(5)])
    matrices = np.stack([positive(2, seed) for seed in range(5)])
    expected = [
        stats.invwishart(4.5, SCALE).logpdf(matrix)
        + stats.matrix_normal(COEFFICIENTS, np.linalg.inv(PRECISION), matrix).logpdf(value)
        for value, matrix in zip(values, matrices, strict=True)
    ]
    found = REGRESSION.log_density(LINEAR, (jnp.asarray(values), jnp.asarray(matrices)))
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def test_densities_keep_their_digits_where_they_are_concentrated():
    # 10⁶ degrees of freedom and 10⁶ imagined observations: terms of the size of 10⁷ that cancel
    family, size = WISHART, 1e6
    matrix = jnp.asarray(SCALE / size)
    params = family.from_location_count_scale_freedom(jnp.zeros(2), size, matrix, size)
    draws = stats.wishart(size, matrix).rvs(5, random_state=np.random.default_rng(0))
    precisions = jnp.asarray(draws)
    means = jnp.asarray(normal(5, 2) / size**0.5)
    found = family.log_density(params, (means, precisions))
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params.coords)]
    with mpmath.workdps(DIGITS):
        psi, _ = reference(1, 2, leaves)
        first, second, k, n = (mpmath.matrix(exact(np.atleast_2d(leaf))) for leaf in leaves)
        expected = []
        for mean, precision in zip(np.asarray(means), np.asarray(precisions), strict=True):
            v, x = mpmath.matrix(exact(mean)), mpmath.matrix(exact(precision))
            product = sum(second[i, j] * x[i, j] for i in range(2) for j in range(2))
            linear = (first * x * v)[0] - product / 2 - k[0] / 2 * (v.T * x * v)[0]
            log_det = mpmath.log(mpmath.det(x))
            constant = -log_det - mpmath.log(2 * mpmath.pi)
            expected.append(float(linear + n[0] / 2 * log_det + constant - psi))
    # what half a unit in the last place of the matrix makes of |n (X⁻¹ − V⁻¹/n)| ~ √n
    np.testing.assert_allclose(found, expected, rtol=BAR, atol=20 * size**0.5 * EPSILON)


def test_entropies_are_the_closed_forms():
    log_two_pi_e = np.log(2 * np.pi * np.e)
    one = GAMMA.from_location_count_shape_rate(0.5, 2.0, 1.5, 0.7)
    mean_log = digamma(1.5) - np.log(0.7)
    conditional = (log_two_pi_e - np.log(2.0) - mean_log) / 2
    expected = [
        stats.gamma(1.5, scale=1 / 0.7).entropy() + conditional,
        stats.invgamma(1.5, scale=0.7).entropy() + conditional,
    ]
    found = [GAMMA.entropy(one), INVERSE_GAMMA.entropy(one)]
    mean_log = digamma(4.5 / 2) + digamma(3.5 / 2) + 2 * np.log(2)
    log_det = np.log(np.linalg.det(SCALE))
    conditional = 2 * (log_two_pi_e - np.log(2.5))
    own = stats.wishart(4.5, SCALE).entropy(), inverse_wishart_entropy(4.5, SCALE)
    expected.append(own[0] + (conditional - (mean_log + log_det)) / 2)
    expected.append(own[1] + (conditional - (mean_log - log_det)) / 2)
    found += [WISHART.entropy(VECTOR), INVERSE_WISHART.entropy(PAIR)]
    rows = np.log(np.linalg.det(PRECISION))
    conditional = (6 * log_two_pi_e - 2 * rows - 3 * (mean_log - log_det)) / 2
    expected.append(own[1] + conditional)
    found.append(REGRESSION.entropy(LINEAR))
    np.testing.assert_allclose(found, expected, rtol=BAR, atol=BAR)


# ------------------------------------------------------------------------------------ evidence


def test_evidence_of_an_observation_is_students_t():
    # ψ(θ + s) − ψ(θ) − d/2 log 2π, s the sums of one observation, against the predictive density
    x, d = np.array([0.7, -1.9]), 2
    sums = type(PAIR.coords)(*(jnp.asarray(a, float) for a in (x, np.outer(x, x), 1.0, 1.0)))
    posterior = PAIR + ef.Natural(sums)
    found = INVERSE_WISHART.log_normalizer(posterior) - INVERSE_WISHART.log_normalizer(PAIR)
    freedom = 4.5 - d + 1
    shape = SCALE * 3.5 / (2.5 * freedom)
    expected = stats.multivariate_t(LOCATION, shape, df=freedom).logpdf(x)
    np.testing.assert_allclose(found - d / 2 * np.log(2 * np.pi), expected, rtol=10 * BAR)
    location, count, scale, n = INVERSE_WISHART.location_count_scale_freedom(posterior)
    np.testing.assert_allclose(location, (2.5 * LOCATION + x) / 3.5, rtol=CLOSE)
    step = np.outer(x - LOCATION, x - LOCATION)
    np.testing.assert_allclose(scale, SCALE + 2.5 / 3.5 * step, rtol=CLOSE)
    assert (count, n) == (3.5, 5.5)


def test_evidence_of_a_regression_is_students_t():
    x, y = np.array([1.0, 0.5, -2.0]), np.array([0.7, -1.9])
    sums = (np.outer(x, y), np.outer(y, y), np.outer(x, x), 1.0)
    posterior = LINEAR + ef.Natural(type(LINEAR.coords)(*(jnp.asarray(a, float) for a in sums)))
    found = REGRESSION.log_normalizer(posterior) - REGRESSION.log_normalizer(LINEAR)
    freedom = 4.5 - 2 + 1
    shape = SCALE * (1 + x @ np.linalg.inv(PRECISION) @ x) / freedom
    expected = stats.multivariate_t(COEFFICIENTS.T @ x, shape, df=freedom).logpdf(y)
    np.testing.assert_allclose(found - np.log(2 * np.pi), expected, rtol=10 * BAR)
    location, precision, _, _ = REGRESSION.location_precision_scale_freedom(posterior)
    total = PRECISION + np.outer(x, x)
    ridge = np.linalg.solve(total, PRECISION @ COEFFICIENTS + np.outer(x, y))
    np.testing.assert_allclose(precision, total, rtol=CLOSE)
    np.testing.assert_allclose(location, ridge, rtol=CLOSE, atol=CLOSE)


def test_the_families_are_one_where_sizes_are_one():
    # natural coordinates of numbers are those of vectors of length 1, and of matrices of one row
    number = GAMMA.from_location_count_shape_rate(0.5, 2.0, 1.5, 0.7)
    vector = ef.NormalWishart(1).from_location_count_scale_freedom(
        jnp.array([0.5]), 2.0, jnp.array([[1 / 1.4]]), 3.0
    )
    np.testing.assert_allclose(
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(vector)]),
        jax.tree.leaves(number),
        rtol=4 * EPSILON,
    )
    row = ef.MatrixNormalInverseWishart(1, 2).from_location_precision_scale_freedom(
        USUAL[0][None], jnp.array([[2.5]]), *USUAL[2:]
    )
    np.testing.assert_allclose(
        ef.MatrixNormalInverseWishart(1, 2).log_normalizer(row),
        INVERSE_WISHART.log_normalizer(PAIR),
        rtol=BAR,
    )


# ------------------------------------------------------------------------------------ draws

N_DRAWS = 100_000


def passes(draws, reference):
    return stats.kstest(np.asarray(draws, float), reference.cdf).pvalue > 1e-4


def test_draws_of_means_are_students_t_and_given_the_rest_normal():
    params = GAMMA.from_location_count_shape_rate(0.5, 2.0, 1.5, 0.7)
    for family in (GAMMA, INVERSE_GAMMA):
        means, values = family.sample(jax.random.key(0), params, (N_DRAWS,))
        assert passes(means, stats.t(3.0, 0.5, np.sqrt(0.7 / (2 * 1.5))))
        precisions = values if family == GAMMA else 1 / values
        assert passes((means - 0.5) * np.sqrt(2 * precisions), stats.norm)
    scales = {WISHART: np.linalg.inv(SCALE), INVERSE_WISHART: SCALE}
    for family, params in ((WISHART, VECTOR), (INVERSE_WISHART, PAIR)):
        means, matrices = family.sample(jax.random.key(1), params, (N_DRAWS,))
        for i in range(2):
            width = np.sqrt(scales[family][i, i] / (2.5 * 3.5))
            assert passes(means[:, i], stats.t(3.5, LOCATION[i], width))
        if not FLOAT32 or family == WISHART:
            residuals, x = np.asarray(means, float) - LOCATION, np.asarray(matrices, float)
            x = x if family == WISHART else np.linalg.inv(x)
            assert passes(2.5 * np.einsum("ni,nij,nj->n", residuals, x, residuals), stats.chi2(2))


def test_draws_of_coefficients_are_students_t():
    values, matrices = REGRESSION.sample(jax.random.key(0), LINEAR, (N_DRAWS,))
    rows = np.linalg.inv(PRECISION)
    for i, j in ((0, 0), (2, 1)):
        width = np.sqrt(rows[i, i] * SCALE[j, j] / 3.5)
        assert passes(values[:, i, j], stats.t(3.5, COEFFICIENTS[i, j], width))
    # between rows the coefficients have the covariance K⁻¹
    residuals = np.einsum("ij,njk->nik", np.linalg.cholesky(PRECISION).T, values - COEFFICIENTS)
    products = residuals[:, 0, 0] * residuals[:, 1, 0] / np.asarray(matrices)[:, 0, 0]
    assert abs(np.mean(products)) < 5 / np.sqrt(N_DRAWS)


# ------------------------------------------------------------------------------------ estimates


def test_estimates_from_rows_that_are_close_to_each_other():
    # precisions within 10⁻³, and means within 10⁻³ of a location of the size of 1
    rng = np.random.default_rng(0)
    noise = 1e-3 * rng.normal(size=(200, 2, 2))
    precisions = np.eye(2) + noise + np.swapaxes(noise, 1, 2)
    means = LOCATION + 1e-3 * rng.normal(size=(200, 2))
    means, precisions = means.astype(np.float32), precisions.astype(np.float32)
    params = WISHART.maximum_likelihood((jnp.asarray(means), jnp.asarray(precisions)))
    location, count, scale, freedom = WISHART.location_count_scale_freedom(params)
    means, precisions = means.astype(float), precisions.astype(float)
    total = precisions.mean(0)
    expected = np.linalg.solve(total, np.einsum("nij,nj->i", precisions, means) / 200)
    residuals = means - expected
    spread = np.einsum("ni,nij,nj->", residuals, precisions, residuals) / 200
    gap = np.log(np.linalg.det(total)) - np.mean(np.log(np.linalg.det(precisions)))
    np.testing.assert_allclose(location, expected, rtol=1e-5)
    np.testing.assert_allclose(count, 2 / spread, rtol=1e-3)
    # log n/2 − digamma((n − i)/2) sums to d(d + 1)/(2n) and smaller terms
    np.testing.assert_allclose(freedom, 3 / gap, rtol=1e-3)
    np.testing.assert_allclose(freedom * scale, total, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("family", "xs"),
    [
        (INVERSE_GAMMA, (normal(1, 40)[0], normal(1, 40, 2)[0] ** 2)),
        (INVERSE_WISHART, (normal(40, 2), np.stack([positive(2, seed) for seed in range(40)]))),
        (
            REGRESSION,
            (normal(120, 2).reshape(40, 3, 2), np.stack([positive(2, k) for k in range(40)])),
        ),
    ],
    ids=["normal_inverse_gamma", "normal_inverse_wishart", "regression"],
)
def test_weighted_maximum_likelihood_has_the_average_statistic(family, xs):
    xs, weights = jax.tree.map(jnp.asarray, xs), jnp.linspace(0.5, 2, 40)
    estimate = family.maximum_likelihood(xs, weights)
    found = family.flatten(family.to_mean(estimate))
    expected = family.flatten(family.average_sufficient_statistic(xs, weights))
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE * np.max(np.abs(expected)))


@pytest.mark.parametrize("family", [GAMMA, REGRESSION], ids=["normal_gamma", "regression"])
def test_weak_means_of_equal_rows_are_inside(family):
    row = (1.5, 2.0) if family == GAMMA else (COEFFICIENTS, SCALE)
    rows = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 3), row)

    @jax.jit
    def inside(rows):
        return family._in_domain(family._maximize(family._weak_means(rows), None))

    assert inside(rows)
