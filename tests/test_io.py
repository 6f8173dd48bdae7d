"""Files: everything comes back bit for bit, and what is no such file is refused in words."""

import dataclasses
import json
import re
import time
import tracemalloc
from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import expfam as ef
from expfam.geometry.manifold import layout_of
from tests.registry import FLOAT32, REGISTRY, arbitrary_data

NORMAL = ef.Normal(2)
MIXTURE = ef.Mixture(NORMAL, 2)


def points(family, dtype, seed=0):
    """Coordinates of any value: files do not ask what they mean."""
    rng = np.random.default_rng(seed)
    layout = layout_of(family.spaces)
    leaves = [jnp.asarray(rng.normal(size=shape), dtype) for shape in layout.shapes]
    return jax.tree.unflatten(layout.structure, leaves)


def same(a, b):
    """Whether trees are equal in structure, types and bits."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    bits = all(
        np.asarray(x).dtype == np.asarray(y).dtype
        and np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in pairs
    )
    return bits and jax.tree.structure(a) == jax.tree.structure(b)


DTYPES = ["float32"] if FLOAT32 else ["float32", "float64"]


@pytest.mark.parametrize("instance", REGISTRY, ids=[instance.name for instance in REGISTRY])
def test_models_come_back_bit_for_bit(tmp_path, instance):
    family = instance.family
    for dtype in DTYPES:
        params = ef.Natural(points(family, dtype))
        total, count = ef.Mean(points(family, dtype, seed=1)), jnp.asarray(2.5, dtype)
        prior = ef.ConjugatePrior(family, total, count)
        ef.save(tmp_path / "model", family, params, prior=prior)
        saved = ef.load(tmp_path / "model")
        assert saved.model == family
        assert same(saved.params, params)
        assert same(saved.prior, prior)
        assert saved.fit is None
        assert saved.schema is None


OTHERS = {
    "arrays_as_fields": ef.KnownMeanNormal(jnp.array([1.0, 2.0])),
    "arrays_of_covariances": ef.SubFamily(NORMAL, ef.FixedCovariance(jnp.eye(2))),
    "restriction": ef.SubFamily(
        ef.Poisson(), ef.AffineRestriction(jnp.ones(1), jnp.asarray(0.5), jnp.zeros(1))
    ),
    "coordinates_as_fields": ef.SubFamily(
        NORMAL,
        ef.AffineRestriction(
            jax.tree.map(lambda a: a[None], points(NORMAL, float)), points(NORMAL, float)
        ),
    ),
    "bijection": ef.PushForward(NORMAL, ef.AffineMap(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))),
    "regression": ef.Mixture(ef.Regression(NORMAL, 3), 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_fields_of_every_kind_come_back(tmp_path, name):
    family = OTHERS[name]
    params = ef.Natural(points(family, float))
    ef.save(tmp_path / "model", family, params)
    saved = ef.load(tmp_path / "model")
    assert same((saved.model, saved.params), (family, params))


@pytest.mark.parametrize("model", [MIXTURE, ef.analytic_hmog(4, ef.Diagonal(), 2, 2)])
def test_standardized_models_come_back_with_their_frames(tmp_path, model):
    own = ef.standardize(model, 1e4 + arbitrary_data(model.observable, (50,)))
    params = ef.Natural(points(own, float))
    ef.save(tmp_path / "model", own, params)
    saved = ef.load(tmp_path / "model")
    assert same((saved.model, saved.params), (own, params))


def test_fits_and_schemas_come_back(tmp_path):
    xs = arbitrary_data(NORMAL, (20,))
    fit = ef.fit(NORMAL, xs, key=jax.random.key(0), method=ef.EM(max_steps=3))
    for remaining in (float("inf"), 0.1):
        own = dataclasses.replace(fit, remaining_gain=remaining)
        schema = {"columns": ("a", "b"), "families": [NORMAL, None], 3: {"width": np.ones(2)}}
        ef.save(tmp_path / "fit", NORMAL, fit.params, own, schema)
        saved = ef.load(tmp_path / "fit")
        assert (saved.fit.model, saved.fit.status) == (own.model, own.status)
        assert (saved.fit.steps, saved.fit.converged) == (own.steps, own.converged)
        assert same(saved.fit.params, fit.params)
        assert same(saved.fit.log_likelihoods, fit.log_likelihoods)
        assert saved.fit.restart_statuses == fit.restart_statuses
        assert saved.fit.remaining_gain == remaining
        assert (saved.schema.pop(3)["width"] == 1).all()
        assert saved.schema == {"columns": ("a", "b"), "families": [NORMAL, None]}
        density = NORMAL.log_density(saved.params, xs)
        assert same(density, NORMAL.log_density(fit.params, xs))


def test_floats_are_converted_on_demand(tmp_path):
    ef.save(tmp_path / "model", NORMAL, ef.Natural(points(NORMAL, "float32")))
    loaded = ef.load(tmp_path / "model", dtype="float16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded.params)} == {"float16"}
    with pytest.raises(TypeError, match="`dtype` must be a floating-point type"):
        ef.load(tmp_path / "model", dtype=int)


@pytest.mark.skipif(FLOAT32, reason="there is no float64 to save")
def test_float64_is_not_cut_short_without_a_word(tmp_path):
    ef.save(tmp_path / "model", NORMAL, ef.Natural(points(NORMAL, "float64")))
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="jax_enable_x64"):
            ef.load(tmp_path / "model")
        loaded = ef.load(tmp_path / "model", dtype="float32")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded.params)} == {"float32"}


def test_the_file_is_laid_out_as_safetensors(tmp_path):
    params = ef.Natural(points(NORMAL, "float32"))
    ef.save(tmp_path / "model", NORMAL, params)
    raw = (tmp_path / "model").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    assert header["__metadata__"]["format"] == "expfam"
    assert header["0"] == {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    assert raw[8 + length :][:8] == np.asarray(params.coords.first).tobytes()


# ------------------------------------------------------------------------------------ refusals


@final
class Own(eqx.Module):
    """A covariance structure of nobody."""

    size: int


def test_what_a_file_cannot_hold_is_refused(tmp_path):
    params = ef.Natural(points(NORMAL, float))
    with pytest.raises(TypeError, match="cannot hold <built-in function print>"):
        ef.save(tmp_path / "model", NORMAL, params, schema={"f": print})
    with pytest.raises(TypeError, match="model"):
        ef.save(tmp_path / "model", "normal", params)
    with pytest.raises(TypeError, match="fit"):
        ef.save(tmp_path / "model", NORMAL, params, "fit")
    with pytest.raises(ValueError, match="params"):
        ef.save(tmp_path / "model", ef.Normal(3), params)
    assert not list(tmp_path.iterdir())


def test_unknown_classes_are_refused_unless_they_are_given(tmp_path):
    ef.save(tmp_path / "model", NORMAL, ef.Natural(points(NORMAL, float)), schema=Own(3))
    with pytest.raises(ValueError, match="names the class 'Own'"):
        ef.load(tmp_path / "model")
    assert ef.load(tmp_path / "model", classes=[Own]).schema == Own(3)


def test_every_altered_byte_is_noticed(tmp_path):
    path = tmp_path / "model"
    ef.save(path, ef.Poisson(), ef.Natural(points(ef.Poisson(), float)))
    raw = path.read_bytes()
    for position in range(len(raw)):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        with pytest.raises(ValueError, match=r"^load: .*model"):
            ef.load(path)
    for length in (0, 5, 8, 100, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(ValueError, match="is damaged"):
            ef.load(path)
    path.write_bytes(raw + b"\0")
    with pytest.raises(ValueError, match="is damaged"):
        ef.load(path)


def forged(path, change):
    """Write a file whose header was changed, with a good checksum."""
    import hashlib

    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["sha256"] = "0" * 64
    content = json.loads(header["__metadata__"]["content"])
    change(header, content)
    header["__metadata__"]["content"] = json.dumps(content)
    text = json.dumps(header).encode()
    digest = hashlib.sha256(text + raw[8 + length :]).hexdigest().encode()
    text = text.replace(b"0" * 64, digest, 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def at_once(path):
    """The message that a file is refused with, in less than a second, with little memory."""
    tracemalloc.start()
    start, message = time.process_time(), None
    try:
        ef.load(path)
    except ValueError as error:
        message = str(error)
    finally:
        seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < 1
    assert peak < 20e6
    return message


FORGERIES = {
    "version": (lambda h, c: h["__metadata__"].update(version="7"), "written in version 7"),
    "format": (lambda h, c: h["__metadata__"].update(format="other"), "its format is 'other'"),
    "class": (lambda h, c: c["model"].update({"class": "Popen"}), "names the class 'Popen'"),
    "module": (lambda h, c: c["model"].update({"class": "os.system"}), "names the class"),
    "no family": (lambda h, c: c.update(model={"class": "Diagonal", "fields": {}}), "of type Diag"),
    "field": (lambda h, c: c["model"]["fields"].update(shell="ls"), "shell"),
    "size": (lambda h, c: c["model"]["fields"].update(size=10**12), "have shapes"),
    "shape": (lambda h, c: h["0"].update(shape=[10**15]), "does not follow|declares"),
    "negative": (lambda h, c: h["0"].update(shape=[-2]), "cannot have the shape"),
    "bytes": (
        lambda h, c: h["1"].update(shape=[10**9, 10**9], data_offsets=[16, 16 + 8 * 10**18]),
        "declares|does not follow",
    ),
    "missing": (lambda h, c: c["params"].append(7), "does not describe a model"),
    "kind": (lambda h, c: c.update(schema={"lambda": 3}), "'lambda' is no kind of value"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_at_once(tmp_path, name):
    change, message = FORGERIES[name]
    path = tmp_path / "model"
    ef.save(path, NORMAL, ef.Natural(points(NORMAL, float)))
    forged(path, change)
    assert re.search(message, at_once(path))


# Whole numbers that are no sizes of coordinates, so that large ones cost nothing.
NO_SIZES = {"binomial": 1, "multinomial": 1, "hidden_markov": 1, "differentiable_diagonal": 2}


@pytest.mark.parametrize("instance", REGISTRY, ids=[instance.name for instance in REGISTRY])
def test_huge_sizes_are_refused_at_once(tmp_path, instance):
    path, family = tmp_path / "model", instance.family
    ef.save(path, family, ef.Natural(points(family, float)))
    raw, accepted = path.read_bytes(), 0

    def numbers(content):
        return re.finditer(r": (\d+)(?=[,}])", json.dumps(content["model"]))

    found = []
    forged(path, lambda header, content: found.extend(numbers(content)))
    for match in found:
        start, end = match.span(1)

        def enlarge(header, content, start=start, end=end):
            text = json.dumps(content["model"])
            content["model"] = json.loads(text[:start] + "1000000000000" + text[end:])

        path.write_bytes(raw)
        forged(path, enlarge)
        message = at_once(path)
        assert message is None or "is damaged" in message
        accepted += message is None
    assert accepted == NO_SIZES.get(instance.name, 0)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        ef.load(tmp_path / "nothing")


def test_posteriors_and_schemas_of_tables_come_back(tmp_path):
    poisson = ef.Poisson()
    mixture = ef.Mixture(poisson, 2)
    component = ef.ConjugatePrior.from_hyperparameters(poisson, shape=1.0, rate=0.5)
    prior = ef.MixturePrior.from_components(mixture, component, stick_breaking=(1.0, 2.0))
    counts = pd.DataFrame({"calls": [0, 1, 0, 9, 8, 11]})
    table = ef.tables.read(counts, families={"calls": poisson})
    fit = ef.fit(
        mixture,
        jnp.asarray(counts["calls"]),
        key=jax.random.key(0),
        method=ef.VariationalBayes(2, None),
        prior=prior,
        params=mixture.initialize(jax.random.key(0)),
    )
    ef.save(tmp_path / "fit", mixture, fit.params, fit, table.schema, prior=prior)
    saved = ef.load(tmp_path / "fit")
    assert saved.schema == table.schema
    assert saved.fit.boundary == fit.boundary
    for found, wanted in ((saved.prior, prior), (saved.fit.posterior, fit.posterior)):
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        jax.tree.map(np.testing.assert_array_equal, found, wanted)
