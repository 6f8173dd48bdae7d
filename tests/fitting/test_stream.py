"""Data in blocks: the same EM as on the whole, one-pass EM, interruption and resumption."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.families.support import check_rows
from tests.registry import DIAGONAL

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
CENTERS = np.array([[4.0, 0, 0], [-4.0, 0, 0], [0, 4.0, 4.0]])
XS = CENTERS[RNG.integers(0, 3, 700)] + RNG.normal(size=(700, 3)) + 5.0
MIXTURE = ef.Mixture(ef.Normal(3), 3)
KEY = jax.random.key(0)
EM = ef.EM(max_steps=12, tolerance=None)
FAST = ef.EM(max_steps=12, tolerance=None, acceleration=4)


@pytest.mark.parametrize("method", [EM, FAST], ids=["plain", "accelerated"])
@pytest.mark.parametrize("size", [64, 300, 700])
@pytest.mark.parametrize("model", [MIXTURE, ef.analytic_hmog(3, DIAGONAL, 2, 3)])
def test_em_over_blocks_is_em(model, size, method):
    params = model.initialize_from_sample(KEY, jnp.asarray(XS))
    whole = ef.fit(model, jnp.asarray(XS), key=KEY, method=method, params=params)
    fit = ef.fit(model, ef.Blocks(XS, size), key=KEY, method=method, params=params)
    assert fit.status is ef.Status.STEPS_TAKEN
    assert fit.steps == 12
    np.testing.assert_allclose(fit.log_likelihoods, whole.log_likelihoods, rtol=1e-9)
    for a, b in zip(jax.tree.leaves(fit.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_lists_functions_and_memory_maps_are_read(tmp_path):
    blocks = list(ef.Blocks(XS, 250))
    np.save(tmp_path / "rows.npy", XS)
    sources = [blocks, lambda: iter(blocks), np.load(tmp_path / "rows.npy", mmap_mode="r")]
    method = ef.EM(max_steps=1000, tolerance=1e-7)
    fits = [ef.fit(MIXTURE, xs, key=KEY, method=method) for xs in sources]
    for fit in fits:
        assert fit.converged
        np.testing.assert_allclose(fit.log_likelihood, fits[0].log_likelihood, rtol=1e-9)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere rows must be copied")
def test_blocks_of_a_file_that_is_only_read_are_not_copied(tmp_path):
    np.save(tmp_path / "rows.npy", XS)
    for mode, shared in (("r", True), ("r+", False), ("c", False)):
        file = np.load(tmp_path / "rows.npy", mmap_mode=mode)
        block = next(iter(ef.Blocks(file, 256)))
        rows, n = check_rows(block, MIXTURE.observed_support, "test")
        assert n == 256
        np.testing.assert_array_equal(rows, XS[:256])
        assert (rows.unsafe_buffer_pointer() == block.ctypes.data) == shared
        if mode == "c":
            block[0, 0] = -1.0
            assert rows[0, 0] == XS[0, 0]


def test_priors_and_restarts():
    prior = ef.weak_prior(MIXTURE, jnp.asarray(XS), 5.0)
    params = MIXTURE.initialize_from_sample(KEY, jnp.asarray(XS))
    fits = [
        ef.fit(MIXTURE, xs, key=KEY, method=EM, prior=prior, params=params)
        for xs in (jnp.asarray(XS), ef.Blocks(XS, 200))
    ]
    np.testing.assert_allclose(fits[1].log_likelihoods, fits[0].log_likelihoods, rtol=1e-9)
    many = ef.fit(MIXTURE, ef.Blocks(XS, 200), key=KEY, method=EM, restarts=4)
    assert np.diff(many.log_likelihoods).min() > -1e-10


def test_stepwise_em_comes_near_in_one_pass():
    rows = np.concatenate([XS, XS + 0.01 * RNG.normal(size=XS.shape)] * 4)
    rows = rows[RNG.permutation(len(rows))]
    exact = ef.fit(MIXTURE, jnp.asarray(rows), key=KEY)
    once = iter(ef.Blocks(rows, 100))
    fit = ef.fit(MIXTURE, once, key=KEY, method=ef.StepwiseEM())
    assert fit.steps == 56
    found = MIXTURE.average_log_observable_density(fit.params, jnp.asarray(rows))
    assert float(exact.log_likelihood - found) < 0.02


@pytest.mark.parametrize("method", [EM, FAST, ef.StepwiseEM(passes=3)])
def test_an_interrupted_fit_goes_on_as_if_nothing_had_happened(method, tmp_path):
    blocks = list(ef.Blocks(XS, 100))
    reads = 0

    def failing():
        nonlocal reads
        for block in blocks:
            reads += 1
            if reads == 19:
                raise OSError("the disk is gone")
            yield block

    path = tmp_path / "state"
    options = {"key": KEY, "method": method, "checkpoint": path, "checkpoint_every": 3}
    with pytest.raises(OSError, match="the disk is gone"):
        ef.fit(MIXTURE, failing, **options)
    assert path.exists()
    resumed = ef.fit(MIXTURE, lambda: iter(blocks), **options)
    straight = ef.fit(MIXTURE, lambda: iter(blocks), key=KEY, method=method)
    np.testing.assert_array_equal(resumed.log_likelihoods, straight.log_likelihoods)
    for a, b in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(straight.params), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="belongs to another fit"):
        ef.fit(ef.Mixture(ef.Normal(3), 2), lambda: iter(blocks), **options)


def test_bad_blocks_are_named_and_the_saved_state_stays(tmp_path):
    good = list(ef.Blocks(XS, 350))
    spoiled = XS[:50].copy()
    spoiled[3, 1] = np.nan

    def fit(blocks, **options):
        return ef.fit(MIXTURE, blocks, key=KEY, method=EM, **options)

    with pytest.raises(ValueError, match=r"fit, block 2 of `xs`: .* finite"):
        fit([*good, spoiled])
    with pytest.raises(ValueError, match=r"fit, block 1 of `xs`: .*shape \(n, 3\)"):
        fit([good[0], XS[:50, :2]])
    with pytest.raises(TypeError, match="block 1 of `xs` has type float32, but the blocks before"):
        fit([good[0], XS[:50].astype(np.float32)])
    with pytest.raises(ValueError, match="at least one block"):
        fit([])
    with pytest.raises(TypeError, match="can be read only once"):
        fit(iter(good))
    with pytest.raises(ValueError, match="`weights` must be left out"):
        fit(good, weights=jnp.ones(700))
    path = tmp_path / "state"
    calls = 0

    def later():
        nonlocal calls
        calls += 1
        return iter([*good, spoiled] if calls == 4 else good)

    with pytest.raises(ValueError, match="block 2"):
        fit(later, checkpoint=path, checkpoint_every=1)
    np.testing.assert_allclose(
        fit(lambda: iter(good), checkpoint=path).log_likelihoods,
        fit(good).log_likelihoods,
        rtol=1e-12,
    )
